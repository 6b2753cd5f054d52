# libqcmp, static and shared, from the three layers that games link: wire, probe, client.

set(QCMP_SOURCES
    wire/error.c
    wire/measure.c
    wire/sized.c
    wire/version.c
    wire/wire.c
    probe/probe.c
    probe/survey.c
    client/address.c
    client/client.c
    client/clock.c
    client/distance.c
    client/survey_step.c)
set(QCMP_DEFINITIONS QCMP_BUILD)
set(QCMP_LIBRARIES)
if(WIN32)
    list(APPEND QCMP_SOURCES client/clock_windows.c client/random_windows.c client/socket_windows.c)
    set(QCMP_LIBRARIES ws2_32 bcrypt)
else()
    list(APPEND QCMP_SOURCES client/clock_posix.c client/socket_common.c)
    if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
        list(APPEND QCMP_SOURCES client/interface_linux.c client/random_getentropy.c client/socket_linux.c)
    elseif(ANDROID)
        list(APPEND QCMP_SOURCES client/interface_linux.c client/random_arc4.c client/socket_linux.c)
    elseif(APPLE)
        list(APPEND QCMP_SOURCES client/interface_apple.c client/random_arc4.c client/socket_posix.c)
    else()
        list(APPEND QCMP_SOURCES client/interface_none.c client/random_arc4.c client/socket_posix.c)
    endif()
    # For a unity build, where client/system.h does not come first.
    list(APPEND QCMP_DEFINITIONS _GNU_SOURCE _NETBSD_SOURCE)
endif()
list(TRANSFORM QCMP_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)

function(paddock_library target type)
    add_library(${target} ${type} ${QCMP_SOURCES})
    paddock_target(${target} 11)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME qcmp C_VISIBILITY_PRESET hidden
                          POSITION_INDEPENDENT_CODE ON)
    target_compile_definitions(${target} PRIVATE ${QCMP_DEFINITIONS})
    if(PADDOCK_GNU_FLAGS)
        target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O2>) # -O3 makes a third more code, and nothing faster
    endif()
    target_link_libraries(${target} PRIVATE ${QCMP_LIBRARIES})
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src
                               PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
endfunction()

paddock_library(qcmp_static STATIC)
paddock_library(qcmp_shared SHARED)
set_target_properties(qcmp_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
if(WIN32)
    # The headers say what is exported, and what a user of the DLL imports.
    target_compile_definitions(qcmp_shared PUBLIC QCMP_SHARED)
    if(MSVC)
        set_target_properties(qcmp_static PROPERTIES OUTPUT_NAME qcmp_static) # the other's import library is qcmp.lib
    endif()
elseif(APPLE)
    set(QCMP_EXPORTS ${CMAKE_CURRENT_LIST_DIR}/libqcmp.exports)
    target_link_options(qcmp_shared PRIVATE -Wl,-exported_symbols_list,${QCMP_EXPORTS})
else()
    set(QCMP_EXPORTS ${CMAKE_CURRENT_LIST_DIR}/libqcmp.map)
    target_link_options(qcmp_shared PRIVATE -Wl,--version-script=${QCMP_EXPORTS})
endif()
set_target_properties(qcmp_shared PROPERTIES LINK_DEPENDS "${QCMP_EXPORTS}")

if(BUILD_SHARED_LIBS)
    set(QCMP_DEFAULT shared)
    set(QCMP_OTHER static)
else()
    set(QCMP_DEFAULT static)
    set(QCMP_OTHER shared)
endif()
set(QCMP_BOTH ${PADDOCK_INSTALL})
if(DEFINED BUILD_SHARED_LIBS)
    set(QCMP_BOTH OFF) # somebody has chosen
endif()
if(NOT QCMP_BOTH)
    # Built when somebody links it.
    set_target_properties(qcmp_${QCMP_OTHER} PROPERTIES EXCLUDE_FROM_ALL ON)
endif()
add_library(qcmp::static ALIAS qcmp_static)
add_library(qcmp::shared ALIAS qcmp_shared)
add_library(qcmp::qcmp ALIAS qcmp_${QCMP_DEFAULT})
foreach(variable QCMP_BOTH QCMP_DEFAULT QCMP_OTHER QCMP_LIBRARIES) # for cmake/install.cmake
    set(${variable} ${${variable}} PARENT_SCOPE)
endforeach()
