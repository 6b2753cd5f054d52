# The program's harnesses: see fuzz.cmake.
if(PADDOCK_BUILD_PROGRAM)
    paddock_fuzz(accept LINK paddock_admin)
    paddock_fuzz(text LINK paddock_base)
    paddock_fuzz(flags LINK paddock_config)
    paddock_fuzz(config LINK paddock_config)
    paddock_fuzz(relay_flags LINK paddock_cli)
endif()
