// The arguments of a call that Gemini streams (functionCallingConfig.streamFunctionCallArguments): it says one leaf
// after the other, each by its path ("$.places[0].name") and texts in several pieces; here they become the JSON text
// that the other protocols stream. Pure; one call owns each object.
// https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/Content#PartialArg
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace weir::providers {

class GeminiArguments {
 public:
  /// Appends what the leaf at `path` (RFC 9535, names and indices only) adds to the text. `value`: JSON, a string's
  /// only its inside, decoded. A string at the path of the one before goes on with it. False: not such a path, or
  /// leaves that come in no order in which a text could hold them.
  bool add(std::string_view path, bool is_string, std::string_view value, std::string& out);
  /// Appends what makes the text whole.
  void close(std::string& out);

 private:
  struct Step {
    bool index = false;
    std::string name;
    int64_t number = 0;
    friend bool operator==(const Step&, const Step&) = default;
  };
  /// An open object or array.
  struct Open {
    bool array = false;
    Step at = {};  // what was written last
    std::set<std::string, std::less<>> names = {};
  };
  static std::optional<std::vector<Step>> steps_of(std::string_view path);
  static bool step(Open& within, const Step& to, std::string& out);
  void close_to(size_t depth, std::string& out);
  bool at_last(const std::vector<Step>& path) const;

  std::vector<Open> open_;
  bool in_string_ = false;
};

}  // namespace weir::providers
