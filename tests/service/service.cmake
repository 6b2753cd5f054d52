# The program with one service more: services.c is src/daemon/services.c with one line more.
if(PADDOCK_BUILD_PROGRAM)
    add_executable(paddock_counting ${PROJECT_SOURCE_DIR}/src/cli/main.c service/services.c service/counting.c)
    paddock_target(paddock_counting 17)
    target_include_directories(paddock_counting PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(paddock_counting PRIVATE paddock_cli)
endif()
