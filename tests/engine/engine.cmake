# The suite that every engine passes, and the unit tests of what stands on either side of an engine.
if(PADDOCK_BUILD_PROGRAM)
    paddock_unit_test(metrics counters LINK paddock_metrics)
    paddock_unit_test(responder responder LINK paddock_responder)

    add_executable(paddock_engine_suite engine/test_engine.c)
    paddock_target(paddock_engine_suite 17)
    target_link_libraries(paddock_engine_suite PRIVATE paddock_engine paddock_test_support)
    add_test(NAME paddock.engine COMMAND paddock_engine_suite)
    set_tests_properties(paddock.engine PROPERTIES TIMEOUT 120 LABELS engine)
endif()
