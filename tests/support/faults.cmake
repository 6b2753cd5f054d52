# paddock_faulty(TARGET): the calls of this program, and of the libraries of ours in it, go through support/faults.c, where they fail on
# demand. Every symbol of the list in faults.h is replaced.
function(paddock_faulty target)
    file(READ ${PROJECT_SOURCE_DIR}/tests/support/faults.h header)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/support/faults.h)
    string(REGEX MATCHALL " X\\([a-z0-9_]+, [a-z0-9_ ]+\\)" rows "${header}")
    foreach(row IN LISTS rows)
        string(REGEX REPLACE " X\\([a-z0-9_]+, ([a-z0-9_ ]+)\\)" "\\1" symbols "${row}")
        string(REPLACE " " ";" symbols "${symbols}")
        list(TRANSFORM symbols PREPEND "LINKER:--wrap=")
        target_link_options(${target} PRIVATE ${symbols})
    endforeach()
    target_sources(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/faults.c)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
endfunction()

if(PADDOCK_BUILD_PROGRAM)
    # The program, with nothing else replaced.
    add_executable(paddock_faulty ${PROJECT_SOURCE_DIR}/src/cli/main.c)
    paddock_target(paddock_faulty 17)
    target_link_libraries(paddock_faulty PRIVATE paddock_cli)
    paddock_faulty(paddock_faulty)
endif()
