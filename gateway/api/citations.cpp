#include "gateway/api/citations.h"

#include <initializer_list>
#include <utility>

#include "providers/gemini.h"
#include "providers/json_fields.h"

namespace weir::gateway {
namespace {

using providers::array_of;
using providers::ChatEvent;
using providers::Json;
using providers::member_of;
using providers::object_of;
using providers::Protocol;

std::string first_text(const Json& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys)
    if (std::string text = providers::text_of(object, key); !text.empty()) return text;
  return {};
}

std::optional<int64_t> number_of(const Json& object, std::initializer_list<const char*> keys) {
  for (const char* key : keys)
    if (const Json* found = member_of(object, key); found != nullptr && found->is_number_integer())
      return found->get<int64_t>();
  return {};
}

/// The words that Anthropic, OpenAI, Gemini and Cohere use for a source.
Citation source_of(const Json& source) {
  Citation out;
  out.url = first_text(source, {"url", "uri", "retrievedUrl"});
  out.title = first_text(source, {"title", "document_title", "filename", "name"});
  out.quote = first_text(source, {"cited_text", "snippet"});
  out.file = first_text(source, {"file_id", "id", "source"});
  out.document = number_of(source, {"document_index", "search_result_index", "index"}).value_or(0);
  return out;
}

/// {"groundingChunks":[{"web":{"uri","title"}}, {"retrievedContext":{…}}, {"maps":{…}}]}. Where it says which stretch
/// a page supports, each was a citation of its own already (providers/gemini_decode.cpp).
std::vector<Citation> grounding(const Json& metadata) {
  std::vector<Citation> out;
  if (providers::gemini_supports(metadata)) return out;
  if (const Json* chunks = array_of(metadata, "groundingChunks"))
    for (const Json& chunk : *chunks)
      for (const char* kind : {"web", "retrievedContext", "maps"})
        if (const Json* source = object_of(chunk, kind)) out.push_back(source_of(*source));
  return out;
}

/// {"start","end","text","sources":[{"type","id","document":{…}}]}: the text is the answer's.
std::vector<Citation> coheres(const Json& citation) {
  std::vector<Citation> out;
  const Json* sources = array_of(citation, "sources");
  if (sources == nullptr) return out;
  for (const Json& source : *sources) {
    const Json* document = object_of(source, "document");
    if (document == nullptr) document = object_of(source, "tool_output");
    Citation one = source_of(document != nullptr ? *document : source);
    if (one.file.empty()) one.file = first_text(source, {"id"});
    one.begin = number_of(citation, {"start"});
    one.end = number_of(citation, {"end"});
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace

std::vector<Citation> citations_of(const ChatEvent& event) {
  const Json& in = event.citation;
  if (!in.is_object()) return {};
  if (const Json* metadata = object_of(in, "groundingMetadata")) return grounding(*metadata);
  if (const Json* metadata = object_of(in, "urlContextMetadata")) {
    std::vector<Citation> out;
    if (const Json* list = array_of(*metadata, "urlMetadata"))
      for (const Json& one : *list) out.push_back(source_of(one));
    return out;
  }
  if (event.citation_of == Protocol::rerank) return coheres(in);
  const Json* nested = object_of(in, "url_citation");  // OpenAI's chat
  Citation out = source_of(nested != nullptr ? *nested : in);
  // Gemini's places are counted in bytes of all of the answer, which is not at hand here.
  if (event.citation_of != Protocol::gemini_generate) {
    out.begin = number_of(nested != nullptr ? *nested : in, {"start_index"});
    out.end = number_of(nested != nullptr ? *nested : in, {"end_index"});
  }
  return {std::move(out)};
}

}  // namespace weir::gateway
