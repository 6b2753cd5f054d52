# The manual pages, from docs/man/NAME.SECTION.scd, where scdoc is there: target paddock_man. PADDOCK_MAN_PAGES is the list of
# what it makes, empty without scdoc.
set(PADDOCK_MAN_PAGES)
find_program(PADDOCK_SCDOC scdoc)
mark_as_advanced(PADDOCK_SCDOC)
if(NOT PADDOCK_SCDOC)
    message(STATUS "No manual pages: scdoc is not installed")
    return()
endif()

set(sources libqcmp.3)
if(PADDOCK_BUILD_PROGRAM)
    list(APPEND sources paddock.1 paddock-load.1 paddock-ping.1 paddock-relay.1 paddock.yaml.5)
endif()
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/man)
foreach(page IN LISTS sources)
    set(source ${PROJECT_SOURCE_DIR}/docs/man/${page}.scd)
    set(made ${PROJECT_BINARY_DIR}/man/${page})
    # Through a shell, because scdoc only reads stdin and writes stdout.
    add_custom_command(OUTPUT ${made} DEPENDS ${source} VERBATIM
                       COMMAND sh -c "\"$0\" <\"$1\" >\"$2\"" ${PADDOCK_SCDOC} ${source} ${made})
    list(APPEND PADDOCK_MAN_PAGES ${made})
endforeach()
add_custom_target(paddock_man ALL DEPENDS ${PADDOCK_MAN_PAGES})
