# The suite that every engine passes.
if(PADDOCK_BUILD_PROGRAM)
    add_executable(paddock_engine_suite engine/test_engine.c)
    paddock_target(paddock_engine_suite 17)
    target_link_libraries(paddock_engine_suite PRIVATE paddock_engine paddock_test_support)
    add_test(NAME paddock.engine COMMAND paddock_engine_suite)
    set_tests_properties(paddock.engine PROPERTIES TIMEOUT 120 LABELS engine)
endif()
