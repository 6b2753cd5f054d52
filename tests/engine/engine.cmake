# The suite that every engine passes.
if(PADDOCK_BUILD_PROGRAM)
    add_executable(paddock_engine_suite engine/test_engine.c)
    paddock_target(paddock_engine_suite 17)
    target_link_libraries(paddock_engine_suite PRIVATE paddock_engine paddock_test_support)
    add_test(NAME paddock.engine COMMAND paddock_engine_suite)
    set_tests_properties(paddock.engine PROPERTIES TIMEOUT 120 LABELS engine)
endif()

# Counted in the plain build alone: a sanitizer's own instructions would drown ours.
if(PADDOCK_BUILD_PROGRAM AND NOT PADDOCK_SANITIZE AND NOT PADDOCK_COVERAGE)
    add_executable(paddock_answer_queued engine/answer_queued.c)
    paddock_target(paddock_answer_queued 17)
    target_link_libraries(paddock_answer_queued PRIVATE paddock_daemon qcmp::static)
    add_test(NAME paddock.engine.instructions
             COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_instructions.py)
    set_tests_properties(paddock.engine.instructions PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 180 LABELS engine
        ENVIRONMENT "ANSWER_QUEUED=$<TARGET_FILE:paddock_answer_queued>")
endif()
