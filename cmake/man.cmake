# The manual pages: target paddock_man. Those of docs/man/NAME.SECTION.scd where scdoc is there, and one for each function of libqcmp,
# from the headers, where Python is. PADDOCK_MAN_PAGES is the list of what is made.
set(PADDOCK_MAN_PAGES)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/man)
find_package(Python3 QUIET COMPONENTS Interpreter)
if(Python3_Interpreter_FOUND)
    set(maker ${PROJECT_SOURCE_DIR}/scripts/man-from-headers)
    execute_process(COMMAND ${Python3_EXECUTABLE} ${maker} ${PROJECT_BINARY_DIR}/man --list
                    OUTPUT_VARIABLE names OUTPUT_STRIP_TRAILING_WHITESPACE)
    string(REPLACE "\n" ";" PADDOCK_MAN_PAGES "${names}")
    list(TRANSFORM PADDOCK_MAN_PAGES PREPEND ${PROJECT_BINARY_DIR}/man/)
    file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/include/qcmp/*.h)
    add_custom_command(OUTPUT ${PADDOCK_MAN_PAGES} DEPENDS ${maker} ${headers} VERBATIM
                       COMMAND ${Python3_EXECUTABLE} ${maker} ${PROJECT_BINARY_DIR}/man)
    add_custom_target(paddock_man_functions ALL DEPENDS ${PADDOCK_MAN_PAGES})
else()
    message(STATUS "No manual pages of functions: Python is not installed")
endif()
find_program(PADDOCK_SCDOC scdoc)
mark_as_advanced(PADDOCK_SCDOC)
if(NOT PADDOCK_SCDOC)
    message(STATUS "No manual pages: scdoc is not installed")
    return()
endif()

set(sources libqcmp.3)
if(PADDOCK_BUILD_PROGRAM)
    list(APPEND sources paddock.1 paddock-load.1 paddock-ping.1 paddock-relay.1 paddock.yaml.5 paddock-filters.7)
endif()
foreach(page IN LISTS sources)
    set(source ${PROJECT_SOURCE_DIR}/docs/man/${page}.scd)
    set(made ${PROJECT_BINARY_DIR}/man/${page})
    # Through a shell, because scdoc only reads stdin and writes stdout.
    add_custom_command(OUTPUT ${made} DEPENDS ${source} VERBATIM
                       COMMAND sh -c "\"$0\" <\"$1\" >\"$2\"" ${PADDOCK_SCDOC} ${source} ${made})
    list(APPEND PADDOCK_MAN_PAGES ${made})
endforeach()
add_custom_target(paddock_man ALL DEPENDS ${PADDOCK_MAN_PAGES})
