// A corpus of recorded interactions, PROVIDER/NAME.{request.json,response.*,response.meta.json}: what a recording
// holds, which call of Weir's it answers, and what it says when it is read by other means than the codecs'. Values.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "providers/codec.h"

namespace weir::providers {

struct Recording {
  enum class Form { json, sse, event_stream };  // how the answer's body is framed: its file's ending says it
  std::string provider;                         // the folder's name
  std::string name;
  std::filesystem::path file;  // of the answer
  std::string fault;           // what is wrong with the recording's own files; empty: nothing
  std::string method, host, path, query;
  Json request;  // the body; null: none, or it is no JSON
  int status = 0;
  std::map<std::string, std::string, std::less<>> headers;  // of the answer, lower-case names
  Form form = Form::json;
  std::string response;

  bool good() const { return status / 100 == 2; }
  std::string content_type() const;
};

/// The folder of the corpus: WEIR_WIRE_DIR, or wire/best beside the repository. May be absent.
std::filesystem::path corpus_folder();

/// Every recording of every provider's folder, sorted. One whose files cannot be read is there too, with its fault.
std::vector<Recording> load_corpus(const std::filesystem::path& folder);

/// The call that a recording answers, as Weir would make it.
struct RecordedCall {
  std::string provider;               // of the catalog
  std::unique_ptr<Codec> codec;       // with the recording's base path
  std::optional<Protocol> native;     // the client's protocol that passes through, where there is one
  std::optional<Protocol> translate;  // another client's, whose calls become this one
  std::string model;                  // the upstream's name of it
  bool stream = false;
  bool is_claude_on_bedrock = false;
  bool spoken() const { return native || translate; }  // false: no call that Weir makes
};

/// The provider is the folder's name where the catalog has it, else whose base URL has the recorded host, else whose
/// API has the recorded path, else openai.
RecordedCall call_of(const Recording& recording);

/// What an answer says, read by nlohmann::json and plain searches alone.
struct WireTruth {
  std::optional<config::TokenCounts> usage;  // the maximum over a stream's events
  std::string text;
  std::string reasoning;
  std::string stop;   // why it ended, in the API's own word: of the last choice that says it
  std::string error;  // the message of an error inside an answer that began well
  std::vector<std::pair<std::string, Json>> calls;  // name and arguments, in order of their opening
};
WireTruth truth_of(const Recording& recording, const RecordedCall& call);

/// The JSON values that an answer is made of: one, a stream's events, or an array's elements. An event of a binary
/// stream stands under its type: {"metadata": {…}}.
std::vector<Json> values_of(const Recording& recording);

/// Every string anywhere in `value`.
void strings_of(const Json& value, std::vector<std::string>& out);

}  // namespace weir::providers
