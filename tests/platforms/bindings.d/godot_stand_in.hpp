// SPDX-License-Identifier: Apache-2.0
// The names of godot-cpp that examples/bindings/godot_qcmp.cpp uses, so that a compiler can look at
// it: no more than declarations.
#pragma once
#include <cstdint>

#define GDE_EXPORT
#define GDCLASS(name, base)                                                                        \
  public:                                                                                          \
    static void register_methods()                                                                 \
    {                                                                                              \
        _bind_methods();                                                                           \
    }                                                                                              \
                                                                                                   \
  private:
#define GDREGISTER_CLASS(name) name::register_methods()
using GDExtensionBool = std::uint8_t;
using GDExtensionInterfaceGetProcAddress = void (*)();
using GDExtensionClassLibraryPtr = void *;
struct GDExtensionInitialization;

namespace godot
{
enum ModuleInitializationLevel {
    MODULE_INITIALIZATION_LEVEL_SCENE = 2
};
class RefCounted
{
};
class CharString
{
  public:
    const char *get_data() const;
};
class String
{
  public:
    CharString utf8() const;
};
class PackedStringArray
{
  public:
    std::int64_t size() const;
    const String &operator[](std::int64_t) const;
};
class Variant
{
  public:
    Variant &operator=(double);
};
class Dictionary
{
  public:
    Variant &operator[](const char *);
};
struct MethodDefinition {
};
template <typename... Names> MethodDefinition D_METHOD(Names...);
class ClassDB
{
  public:
    template <typename Method> static void bind_method(MethodDefinition, Method);
};
class GDExtensionBinding
{
  public:
    class InitObject
    {
      public:
        InitObject(GDExtensionInterfaceGetProcAddress, GDExtensionClassLibraryPtr,
                   GDExtensionInitialization *);
        void register_initializer(void (*)(ModuleInitializationLevel));
        void register_terminator(void (*)(ModuleInitializationLevel));
        void set_minimum_library_initialization_level(ModuleInitializationLevel);
        GDExtensionBool init();
    };
};
} // namespace godot
