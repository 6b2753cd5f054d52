# Parser and schema of the configuration file, against each other; exit code 77 is a skip.
if(NOT PADDOCK_BUILD_PROGRAM OR PADDOCK_SANITIZE STREQUAL "thread")
    return()
endif()

add_test(NAME paddock.integration.config_file
         COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_CURRENT_LIST_DIR}/test_config_file.py)
set_tests_properties(paddock.integration.config_file PROPERTIES
    SKIP_RETURN_CODE 77 TIMEOUT 180 LABELS integration ENVIRONMENT "PADDOCK=$<TARGET_FILE:paddock>")
