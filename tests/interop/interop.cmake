# The same files and datagrams through both programs: tests/interop/test_interop.py, where the reference is on PATH.
if(PADDOCK_BUILD_PROGRAM)
    add_test(NAME paddock.interop COMMAND ${PADDOCK_ALONE} ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_interop.py)
    set_tests_properties(paddock.interop PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 900 LABELS integration ENVIRONMENT
        "PADDOCK=$<TARGET_FILE:paddock>;PADDOCK_SANITIZE=${PADDOCK_SANITIZE}")
endif()
