// Where the loader puts what is wrong, and where it remembers on which line each path of the document stood, so that
// checks over several sections can point at the right place. One Report a load; one thread.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "config/load.h"

namespace weir::config {

/// A place in the file, from 1. Columns count code points, as editors do.
struct Mark {
  int line = 1;
  int column = 1;
};

class Report {
 public:
  static constexpr size_t kMistakesMax = 200;  // further ones are counted, not kept

  explicit Report(std::string file) : file_(std::move(file)) {}

  void mistake(Mark mark, std::string path, std::string message);
  /// At the place that was noted for the path, else of the nearest path around it.
  void mistake(const std::string& path, std::string message);
  /// What is allowed but hardly meant; at the path's place, as a mistake is.
  void warning(const std::string& path, std::string message);

  /// `reference`: the value as it was written, if it came from the environment.
  void note(const std::string& path, Mark mark, const std::string& reference) {
    places_.try_emplace(path, Place{mark, reference});
  }
  /// The value at the path for a message: what came from the environment may be a secret and is not shown.
  std::string shown(const std::string& path, std::string_view value) const;
  bool noted(const std::string& path) const { return places_.contains(path); }

  bool clean() const { return mistakes_.empty(); }
  bool full() const { return mistakes_.size() >= kMistakesMax; }
  /// By line and column; the last one says how many were left out.
  std::vector<Mistake> take_mistakes();
  std::vector<Mistake> take_warnings();

 private:
  struct Place {
    Mark mark;
    std::string reference;
  };

  Mark place_of(const std::string& path) const;

  std::string file_;
  std::vector<Mistake> mistakes_;
  std::vector<Mistake> warnings_;
  size_t left_out_ = 0;
  std::unordered_map<std::string, Place> places_;
};

/// Text of the file or the environment, made fit for a message: quoted, on one line, shortened; credentials left out.
std::string in_quotes(std::string_view text);

/// The path of an entry: "accounts" and "lab" give "accounts.lab". Bytes that would break a line are escaped.
std::string path_of(const std::string& parent, std::string_view key);

}  // namespace weir::config
