#include "engine/grammar/compile.h"

#include <algorithm>
#include <utility>

#include "engine/grammar/json_schema.h"

namespace weir::engine::grammar {
namespace {

constexpr int64_t kEffortMax = 10'000'000;    // about a third of a second
constexpr int64_t kWarmNodesMax = 4'000'000;  // some tens of milliseconds
constexpr std::string_view kSome = "allows no answer that the local engine can write";
constexpr std::string_view kWide = "is too ambiguous: too many alternatives begin at one place";

class SourceCompiler {
 public:
  SourceCompiler(std::shared_ptr<const Vocabulary> vocabulary, const Source& source)
      : vocabulary_(std::move(vocabulary)), source_(source), effort_(kEffortMax) {}

  std::shared_ptr<const Grammar> run() {
    SchemaCompiler schemas(*vocabulary_, rules_, effort_);
    const Rules::Node root = rules_.add();
    // What does not show at the text's beginning may stand there.
    if (vocabulary_->drops_blank() && !source_.continues_text) {
      const Rules::Node first = rules_.add();
      rules_.read(first, schemas.literal(" "), root);
      rules_.nothing(first, root);
      answer(schemas, root);
      calls(schemas, root);
      return finished(first);
    }
    answer(schemas, root);
    calls(schemas, root);
    return finished(root);
  }

  /// Where in the request a fault of the schema that is being compiled lies.
  const std::string& place() const { return place_; }

 private:
  std::shared_ptr<const Grammar> finished(Rules::Node root) try {
    if (!rules_.finish(root)) throw SchemaFault{"", std::string(kSome)};
    if (const Rules::Node wide = rules_.too_wide(root, effort_); wide >= 0) {
      const auto after = std::find_if(places_.begin(), places_.end(), [&](const auto& p) { return p.first > wide; });
      if (after != places_.begin()) place_ = std::prev(after)->second;
      throw SchemaFault{"", std::string(kWide)};
    }
    auto grammar = std::make_shared<Grammar>(vocabulary_, std::move(rules_), root);
    if (!grammar->warm(kWarmNodesMax)) throw SchemaFault{"", std::string(kSome)};
    return grammar;
  } catch (const TooAmbiguous&) {
    throw SchemaFault{"", std::string(kWide)};
  }

  /// What is compiled from here on stands there.
  void stand_at(const std::string& place) {
    place_ = place;
    places_.emplace_back(static_cast<Rules::Node>(rules_.size()), place);
  }

  void answer(SchemaCompiler& schemas, Rules::Node root) {
    stand_at(source_.place);
    const Rules::Node end = rules_.add();
    rules_.end(end);
    switch (source_.answer) {
      case Source::Answer::none:
        break;
      case Source::Answer::json_object:
        rules_.nothing(root, schemas.any_object());
        break;
      case Source::Answer::json_schema:
        rules_.nothing(root, schemas.schema(source_.schema));
        break;
      case Source::Answer::regex:
        pattern(schemas, root, end);
        break;
      case Source::Answer::choice:
        if (std::find(source_.choices.begin(), source_.choices.end(), "") != source_.choices.end())
          throw SchemaFault{"", "a choice must not be empty"};
        rules_.read(root, schemas.literals(source_.choices, ""), end);
        break;
    }
  }

  /// A lexeme is no empty text: where the pattern has one, there is a way around it.
  void pattern(SchemaCompiler& schemas, Rules::Node root, Rules::Node end) {
    const Rules::LexemeId lexeme = schemas.pattern(source_.regex, "");
    rules_.read(root, lexeme, end);
    if (lexeme >= 0 && rules_.lexeme_at(lexeme).tokens->dfa().accepts_at(0)) rules_.nothing(root, end);
  }

  /// A tag: the token of that name, where the model has one; else its letters.
  void tag(SchemaCompiler& schemas, Rules::Node from, const std::string& text, Rules::Node to) {
    const TokenId token = vocabulary_->hidden(text);
    if (token >= 0) {
      rules_.token(from, token, to);
    } else {
      rules_.read(from, schemas.literal(text), to);
    }
  }

  void calls(SchemaCompiler& schemas, Rules::Node root) {
    if (source_.tools.empty()) return;
    const bool hermes = source_.style == ToolCallStyle::hermes;
    std::vector<Rules::Node> values;
    for (const ToolShape& tool : source_.tools) {
      stand_at(tool.place);
      values.push_back(schemas.schema(arguments_of(tool)));
    }
    Rules::Node from = root;
    for (int32_t i = 0; i < std::clamp(source_.calls_max, 1, kCallsMax); ++i) {
      const Rules::Node begun = rules_.add();
      const Rules::Node filled = rules_.add();
      const Rules::Node end = rules_.add();
      if (hermes) {
        tag(schemas, from, "<tool_call>", begun);
      } else {
        rules_.nothing(from, begun);
      }
      for (size_t t = 0; t < values.size(); ++t) {
        const Rules::Node value = rules_.add();
        rules_.read(begun, schemas.literal(head(source_.tools[t].name)), value);
        rules_.call(value, values[t], filled);
      }
      if (hermes) {
        const Rules::Node closed = rules_.add();
        rules_.read(filled, schemas.literal("}\n"), closed);
        tag(schemas, closed, "</tool_call>", end);
      } else {
        rules_.read(filled, schemas.literal("}"), end);
      }
      rules_.end(end);
      from = rules_.add();
      rules_.read(end, schemas.literal(hermes ? "\n" : "; "), from);
    }
  }

  std::string head(const std::string& name) const {
    const bool hermes = source_.style == ToolCallStyle::hermes;
    const std::string quoted = Json(name).dump(-1, ' ', false, Json::error_handler_t::replace);
    return std::string(hermes ? "\n" : "") + "{\"name\": " + quoted + ", \"" + (hermes ? "arguments" : "parameters") +
           "\": ";
  }

  /// Arguments are an object.
  const Json& arguments_of(const ToolShape& tool) {
    Json schema = tool.parameters;
    if (schema.is_null()) schema = {{"type", "object"}, {"additionalProperties", false}};
    if (schema.is_object() && !schema.contains("type") && !schema.contains("$ref")) schema["type"] = "object";
    return arguments_.emplace_back(std::move(schema));
  }

  std::shared_ptr<const Vocabulary> vocabulary_;
  const Source& source_;
  Effort effort_;
  Rules rules_;
  std::deque<Json> arguments_;
  std::string place_;
  std::vector<std::pair<Rules::Node, std::string>> places_;  // by the first node of what stands there
};

}  // namespace

Result<void> Source::check() const {
  const auto checked = [](const Json& one, const std::string& where) -> Result<void> {
    if (!nested_too_deep(one)) return {};
    return refused(where, "is nested more than " + std::to_string(kSchemaDepthMax) + " deep");
  };
  for (const ToolShape& tool : tools) {
    if (auto fine = checked(tool.parameters, tool.place); !fine) return fine;
  }
  return checked(schema, place);
}

Error refused(const std::string& path, const std::string& what) {
  return {.kind = ErrorKind::bad_request,
          .source = "engine",
          .retry = Retry::other_target,
          .http_status = 400,
          .detail = path + ": " + what,
          .code = "invalid_request_error",
          .param = path};
}

std::string Source::key() const {
  Json key = {static_cast<int>(answer), schema, regex, choices, static_cast<int>(style), calls_max, continues_text};
  for (const ToolShape& tool : tools) key.push_back({tool.name, tool.parameters});
  return key.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<std::shared_ptr<const Grammar>> compile(std::shared_ptr<const Vocabulary> vocabulary, const Source& source) {
  if (auto checked = source.check(); !checked) return std::move(checked).error();
  SourceCompiler compiler(std::move(vocabulary), source);
  try {
    return compiler.run();
  } catch (const SchemaFault& fault) {
    return refused(compiler.place() + fault.path, fault.what);
  }
}

}  // namespace weir::engine::grammar
