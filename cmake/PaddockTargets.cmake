# What every target of ours has in common: the language, the warnings, the sanitizers, the include roots.

# Another compiler than gcc and clang, or clang with Microsoft's command line, gets none of our flags.
set(PADDOCK_WARNINGS)
set(PADDOCK_GNU_FLAGS OFF)
if(CMAKE_C_COMPILER_ID MATCHES "GNU|Clang" AND NOT MSVC)
    set(PADDOCK_GNU_FLAGS ON)
    set(PADDOCK_WARNINGS
        -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
        -Wcast-qual -Wundef -Wformat=2 -Wswitch-enum -Wnull-dereference)
endif()

# paddock_target(TARGET STANDARD): STANDARD is 11 for the public library, 17 for the rest.
function(paddock_target target standard)
    set_target_properties(${target} PROPERTIES C_STANDARD ${standard} C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
    target_compile_options(${target} PRIVATE ${PADDOCK_WARNINGS})
    if(PADDOCK_WERROR)
        target_compile_options(${target} PRIVATE $<IF:$<C_COMPILER_ID:MSVC>,/WX,-Werror>)
    endif()
    if(standard GREATER 11)
        target_compile_definitions(${target} PRIVATE _GNU_SOURCE)
        target_compile_options(${target} PRIVATE -fno-plt) # two system calls a ping: a jump less for each
    endif()
    if(NOT PADDOCK_GNU_FLAGS)
        return()
    endif()
    # No path of the machine that builds is in what is built.
    target_compile_options(${target} PRIVATE -ffile-prefix-map=${PROJECT_SOURCE_DIR}=. -ffile-prefix-map=${PROJECT_BINARY_DIR}=build)
    if(PADDOCK_HARDENING AND NOT PADDOCK_SANITIZE AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
        # As Debian builds its packages. FORTIFY needs a compiler that optimises.
        target_compile_options(${target} PRIVATE -fstack-protector-strong $<$<COMPILE_LANG_AND_ID:C,GNU>:-fstack-clash-protection>
                               $<$<OR:$<CONFIG:Release>,$<CONFIG:RelWithDebInfo>,$<CONFIG:MinSizeRel>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=2>)
        target_link_options(${target} PRIVATE -Wl,-z,relro -Wl,-z,now)
        set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    endif()
    if(PADDOCK_SANITIZE)
        target_compile_options(${target} PRIVATE -fsanitize=${PADDOCK_SANITIZE} -fno-omit-frame-pointer
                               -fno-sanitize-recover=all)
        target_link_options(${target} PRIVATE -fsanitize=${PADDOCK_SANITIZE})
    endif()
    if(PADDOCK_COVERAGE)
        target_compile_options(${target} PRIVATE --coverage)
        target_link_options(${target} PRIVATE --coverage)
    endif()
    if(PADDOCK_LIBFUZZER)
        target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    endif()
endfunction()

# paddock_module(NAME SOURCES file... [LINK library...]): one folder of src/ that only this project links.
function(paddock_module name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
    add_library(paddock_${name} STATIC ${arg_SOURCES})
    paddock_target(paddock_${name} 17)
    target_include_directories(paddock_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(paddock_${name} PUBLIC ${arg_LINK})
endfunction()
