# The client's tests run against the library as it is built here, against the sockets of other systems, and with a clock that can
# be set: variants of the library with one file replaced.

function(paddock_client_variant name replaced replacement)
    add_library(paddock_client_${name} STATIC ${QCMP_CLIENT_TEST_SOURCES})
    get_target_property(sources paddock_client_${name} SOURCES)
    list(FILTER sources EXCLUDE REGEX "/${replaced}$")
    set_target_properties(paddock_client_${name} PROPERTIES SOURCES "${sources};${replacement}")
    paddock_target(paddock_client_${name} 11)
    target_compile_definitions(paddock_client_${name} PRIVATE ${QCMP_DEFINITIONS})
    target_include_directories(paddock_client_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests
                               PUBLIC ${PROJECT_SOURCE_DIR}/include)
endfunction()

get_target_property(QCMP_CLIENT_TEST_SOURCES qcmp_static SOURCES)
get_target_property(QCMP_DEFINITIONS qcmp_static COMPILE_DEFINITIONS)
paddock_client_variant(posix socket_linux.c ${PROJECT_SOURCE_DIR}/src/client/socket_posix.c)
paddock_client_variant(stepped clock.c ${PROJECT_SOURCE_DIR}/tests/support/fake_clock.c)

paddock_unit_test(client client LINK qcmp::static paddock_test_support)
paddock_unit_test(client options LINK qcmp::static paddock_test_support)
paddock_unit_test(client clock_step LINK paddock_client_stepped paddock_test_support)

if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    paddock_unit_test(client kernel_errors LINK qcmp::static paddock_test_support)
    paddock_faulty(paddock_unit_client_kernel_errors)
    paddock_unit_test(client system_calls LINK qcmp::static paddock_test_support
                      -Wl,--wrap=sendto,--wrap=recvmsg,--wrap=recvmmsg,--wrap=ppoll,--wrap=malloc)
endif()

add_executable(paddock_unit_client_posix unit/client/test_client.c)
paddock_target(paddock_unit_client_posix 17)
target_compile_definitions(paddock_unit_client_posix PRIVATE PADDOCK_TEST_POSIX_SOCKET)
target_include_directories(paddock_unit_client_posix PRIVATE ${PROJECT_SOURCE_DIR}/tests)
target_link_libraries(paddock_unit_client_posix PRIVATE paddock_client_posix paddock_test_support)
add_test(NAME paddock.unit.client.posix COMMAND ${PADDOCK_ALONE} $<TARGET_FILE:paddock_unit_client_posix>)
set_tests_properties(paddock.unit.client.posix PROPERTIES TIMEOUT 120 LABELS unit)
