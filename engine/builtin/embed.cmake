# weir_embed_models(TARGET folders…): puts the files of each model folder into the target as constant data. The generated
# source names each file to the assembler (.incbin); nothing of the build machine's paths remains in the binary.
set(WEIR_EMBED_BYTES_MAX 8388608)

function(weir_embed_models target)
  set(assembly "")
  set(declarations "")
  set(branches "")
  set(names "")
  set(depends "")
  set(total 0)
  set(index 0)
  foreach(folder IN LISTS ARGN)
    get_filename_component(model ${folder} NAME)
    file(GLOB files CONFIGURE_DEPENDS ${folder}/*.json ${folder}/*.safetensors ${folder}/*.jinja)
    if(NOT files)
      continue()
    endif()
    set(entries "")
    foreach(file IN LISTS files)
      get_filename_component(name ${file} NAME)
      file(SIZE ${file} bytes)
      math(EXPR total "${total} + ${bytes}")
      set(symbol "weir_embedded_${index}")
      math(EXPR index "${index} + 1")
      string(APPEND assembly
        "__asm__(\".section .rodata\\n.balign 64\\n.globl ${symbol}\\n.hidden ${symbol}\\n${symbol}:\\n\"\n"
        "        \".incbin \\\"${file}\\\"\\n.globl ${symbol}_end\\n.hidden ${symbol}_end\\n${symbol}_end:\\n\"\n"
        "        \".byte 0\\n.previous\\n\");\n")
      string(APPEND declarations "extern \"C\" const char ${symbol}[];\nextern \"C\" const char ${symbol}_end[];\n")
      string(APPEND entries "        {\"${name}\", {${symbol}, static_cast<size_t>(${symbol}_end - ${symbol})}},\n")
    endforeach()
    list(APPEND depends ${files})
    string(APPEND branches "  if (name == \"${model}\") {\n    return {\n${entries}    };\n  }\n")
    string(APPEND names "\"${model}\", ")
  endforeach()
  if(total GREATER WEIR_EMBED_BYTES_MAX)
    message(FATAL_ERROR "the built-in models take ${total} bytes, more than ${WEIR_EMBED_BYTES_MAX}")
  endif()
  set(source ${CMAKE_CURRENT_BINARY_DIR}/embedded_models.cpp)
  string(CONCAT content
    "// Written by engine/builtin/embed.cmake.\n#include \"engine/builtin/embedded.h\"\n\n"
    "${assembly}\n${declarations}\nnamespace weir::engine {\n\n"
    "std::vector<std::pair<std::string, std::string_view>> embedded_model(std::string_view name) {\n"
    "${branches}  (void)name;\n  return {};\n}\n\n"
    "std::vector<std::string_view> embedded_models() { return {${names}}; }\n\n}  // namespace weir::engine\n")
  file(CONFIGURE OUTPUT ${source} CONTENT "${content}" @ONLY)
  set_source_files_properties(${source} PROPERTIES OBJECT_DEPENDS "${depends}")
  target_sources(${target} PRIVATE ${source})
endfunction()
