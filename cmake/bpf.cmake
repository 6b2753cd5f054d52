# BPF programs: PADDOCK_HAVE_XDP says whether this build has them, paddock_bpf() builds one.
#
# PADDOCK_XDP: ON fails where something is missing, AUTO goes on without, OFF does not look.
set(PADDOCK_XDP AUTO CACHE STRING "Answer in the driver, with XDP: AUTO, ON or OFF (needs clang, bpftool and libbpf)")
set_property(CACHE PADDOCK_XDP PROPERTY STRINGS AUTO ON OFF)
set(PADDOCK_HAVE_XDP FALSE)

if(NOT PADDOCK_XDP MATCHES "^(AUTO|ON|OFF)$")
    message(FATAL_ERROR "PADDOCK_XDP is AUTO, ON or OFF, not '${PADDOCK_XDP}'")
endif()
if(NOT PADDOCK_BUILD_PROGRAM)
    return()
endif()

# All that is generated for the compiler, for who wants that without the rest of the build (make lint).
add_custom_target(paddock_generated)
if(PADDOCK_XDP STREQUAL OFF)
    return()
endif()

find_program(PADDOCK_BPF_CLANG NAMES clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14)
find_program(PADDOCK_BPFTOOL bpftool PATHS /usr/sbin /usr/local/sbin /sbin)
mark_as_advanced(PADDOCK_BPF_CLANG PADDOCK_BPFTOOL)
find_package(PkgConfig REQUIRED)
pkg_check_modules(PADDOCK_LIBBPF IMPORTED_TARGET GLOBAL libbpf>=1.0)

set(missing)
if(PADDOCK_BPF_CLANG)
    # A clang may have been built without this target.
    execute_process(COMMAND ${PADDOCK_BPF_CLANG} -target bpf -x c -c /dev/null -o /dev/null
                    RESULT_VARIABLE failure OUTPUT_QUIET ERROR_QUIET)
    if(failure)
        list(APPEND missing "BPF in ${PADDOCK_BPF_CLANG}")
    endif()
else()
    list(APPEND missing clang)
endif()
if(NOT PADDOCK_BPFTOOL)
    list(APPEND missing bpftool)
endif()
if(NOT PADDOCK_LIBBPF_FOUND)
    list(APPEND missing "libbpf 1.0 or later")
endif()
if(missing)
    list(JOIN missing ", " missing)
    if(PADDOCK_XDP STREQUAL ON)
        message(FATAL_ERROR "PADDOCK_XDP=ON, and this is missing: ${missing}")
    endif()
    message(STATUS "No XDP engine: ${missing} missing")
    return()
endif()
set(PADDOCK_HAVE_XDP TRUE)


# On Debian some of the kernel's headers are in a folder of the architecture, which clang does not search for this target.
set(PADDOCK_BPF_INCLUDES -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_SOURCE_DIR}/include)
if(CMAKE_LIBRARY_ARCHITECTURE)
    list(APPEND PADDOCK_BPF_INCLUDES -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE})
endif()

# paddock_bpf(NAME SOURCE): compiles SOURCE for the kernel. Who links paddock_bpf_NAME includes "NAME.skel.h", libbpf's skeleton of
# the struct NAME_bpf, which holds the program.
function(paddock_bpf name source)
    set(folder ${PROJECT_BINARY_DIR}/bpf)
    set(stem ${folder}/${name})
    file(MAKE_DIRECTORY ${folder})
    # bpftool links the object with itself, which leaves what the compiler wrote for debuggers behind.
    add_custom_command(
        OUTPUT ${stem}.skel.h
        COMMAND ${PADDOCK_BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -std=gnu17 -ffreestanding -Wall -Wextra -Wshadow -Wconversion
                -Werror -ffile-prefix-map=${PROJECT_SOURCE_DIR}=. -ffile-prefix-map=${PROJECT_BINARY_DIR}=build
                ${PADDOCK_BPF_INCLUDES} -MMD -MF ${stem}.d -MT ${stem}.skel.h -c ${source} -o ${stem}.tmp.o
        COMMAND ${PADDOCK_BPFTOOL} gen object ${stem}.bpf.o ${stem}.tmp.o
        COMMAND ${CMAKE_COMMAND} -E echo "/* Made from ${name}.bpf.c. NOLINTBEGIN */" > ${stem}.skel.h
        COMMAND ${PADDOCK_BPFTOOL} gen skeleton ${stem}.bpf.o name ${name}_bpf >> ${stem}.skel.h
        COMMAND ${CMAKE_COMMAND} -E echo "/* NOLINTEND */" >> ${stem}.skel.h
        DEPENDS ${source} DEPFILE ${stem}.d COMMENT "Building BPF program ${name}" VERBATIM)
    add_custom_target(paddock_bpf_${name}_skeleton DEPENDS ${stem}.skel.h)
    add_dependencies(paddock_generated paddock_bpf_${name}_skeleton)
    add_library(paddock_bpf_${name} INTERFACE)
    add_dependencies(paddock_bpf_${name} paddock_bpf_${name}_skeleton)
    # As a header of the system: it is made by others, and our warnings are not for it.
    target_include_directories(paddock_bpf_${name} SYSTEM INTERFACE ${folder})
    target_link_libraries(paddock_bpf_${name} INTERFACE PkgConfig::PADDOCK_LIBBPF)
endfunction()
