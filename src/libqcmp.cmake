# libqcmp, static and shared, from the three layers that games link: wire, probe, client.

set(QCMP_SOURCES
    wire/error.c
    wire/measure.c
    wire/version.c
    wire/wire.c
    probe/probe.c
    client/address.c
    client/client.c
    client/clock.c
    client/distance.c
    client/socket_common.c)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    list(APPEND QCMP_SOURCES client/socket_linux.c)
else()
    list(APPEND QCMP_SOURCES client/socket_posix.c)
endif()
set_source_files_properties(${CMAKE_CURRENT_LIST_DIR}/client/clock.c ${CMAKE_CURRENT_LIST_DIR}/client/socket_linux.c
                            PROPERTIES COMPILE_DEFINITIONS _GNU_SOURCE)
list(TRANSFORM QCMP_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)

function(paddock_library target type)
    add_library(${target} ${type} ${QCMP_SOURCES})
    paddock_target(${target} 11)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME qcmp C_VISIBILITY_PRESET hidden
                          POSITION_INDEPENDENT_CODE ON)
    target_compile_definitions(${target} PRIVATE QCMP_BUILD _POSIX_C_SOURCE=200809L)
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src
                               PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
endfunction()

paddock_library(qcmp_static STATIC)
paddock_library(qcmp_shared SHARED)
set_target_properties(qcmp_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0
                      LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/libqcmp.map)
target_link_options(qcmp_shared PRIVATE -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/libqcmp.map)

add_library(qcmp::static ALIAS qcmp_static)
add_library(qcmp::shared ALIAS qcmp_shared)
add_library(qcmp::qcmp ALIAS qcmp_static)
