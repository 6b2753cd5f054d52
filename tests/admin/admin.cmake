# The admin server over loopback, driven from Python. Debian's python3-prometheus-client is for Debian's Python.
find_program(PADDOCK_DEBIAN_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(NOT PADDOCK_DEBIAN_PYTHON)
    set(PADDOCK_DEBIAN_PYTHON ${Python3_EXECUTABLE})
endif()
if(PADDOCK_BUILD_PROGRAM)
    add_executable(paddock_admin_server admin/server.c)
    paddock_target(paddock_admin_server 17)
    target_include_directories(paddock_admin_server PRIVATE ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(paddock_admin_server PRIVATE paddock_admin)
    add_test(NAME paddock.admin.http
             COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/test_http.py $<TARGET_FILE:paddock_admin_server>)
    add_test(NAME paddock.admin.prometheus
             COMMAND ${PADDOCK_DEBIAN_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/test_prometheus.py $<TARGET_FILE:paddock_admin_server>)
    set_tests_properties(paddock.admin.http paddock.admin.prometheus PROPERTIES
                         SKIP_RETURN_CODE 77 TIMEOUT 300 LABELS admin ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1;PADDOCK_SANITIZE=${PADDOCK_SANITIZE}")
endif()
