// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// pickle: Python's serialised objects, read as inert data (pickle_value.hpp).
//   const PickleTree tree("file.pt: data.pkl", bytes);    tree.root()
#pragma once

#include <algorithm>
#include <array>
#include <deque>

#include <hyperblocks/io/byte_cursor.hpp>
#include <hyperblocks/io/pickle_value.hpp>

namespace hyperblocks {
namespace detail {

/// The instructions of protocol 2, what torch.save writes.
enum class PickleCode : std::uint8_t {
  protocol = 0x80,
  stop = '.',
  mark = '(',
  global = 'c',
  new_object = 0x81,
  reduce = 'R',
  build = 'b',
  append = 'a',
  appends = 'e',
  set_item = 's',
  set_items = 'u',
  tuple = 't',
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  none = 'N',
  new_true = 0x88,
  new_false = 0x89,
  empty_tuple = ')',
  empty_list = ']',
  empty_dict = '}',
  empty_set = 0x8f,
  int32 = 'J',
  uint8 = 'K',
  uint16 = 'M',
  long1 = 0x8a,
  float64 = 'G',
  text = 'X',
  short_bytes = 'U',
  persistent = 'Q',
  get = 'h',
  long_get = 'j',
  put = 'q',
  long_put = 'r'
};

/// Runs the instructions. Each makes a value or two and touches no more than what it takes from the stack, so
/// that their number bounds time and memory.
class PickleMachine {
 public:
  PickleMachine(ByteCursor cursor, std::deque<PickleValue>& values)
      : cursor_(std::move(cursor)), values_(values) {}

  PickleRef run() {
    constexpr std::uint64_t most = 1 << 22;  // a tensor takes about 25
    for (std::uint64_t count = 0;; ++count) {
      at_ = cursor_.offset();
      check(count < most, [&] {
        return Error("malformed pickle", where(), "at most " + std::to_string(most) + " instructions",
                     "more");
      });
      const auto code = static_cast<PickleCode>(cursor_.number<std::uint8_t>("an instruction"));
      if (code == PickleCode::stop) break;
      if (!constant(code) && !collection(code) && !object(code) && !memory(code)) refuse(code);
    }
    expect(stack_.size() == 1 && marks_.empty(), "one value at the end", "none, or others besides");
    expect(cursor_.left() == 0, "nothing behind the end", "more bytes");
    return stack_.back();
  }

 private:
  std::string where() const { return cursor_.file() + ": offset " + std::to_string(at_); }

  [[noreturn]] void malformed(const char* expected, const char* found) const {
    throw Error("malformed pickle", where(), expected, found);
  }
  void expect(bool holds, const char* expected, const char* found) const {
    if (!holds) [[unlikely]]
      malformed(expected, found);
  }

  [[noreturn]] void refuse(PickleCode code) const {
    constexpr std::string_view digits = "0123456789abcdef";
    const auto number = static_cast<unsigned>(code);
    throw Error("an instruction that is not known", where(),
                "one of pickle protocol 2, which torch.save uses unless told otherwise",
                std::string("0x") + digits[number >> 4] + digits[number & 15]);
  }

  template <class T>
  void push(T value) {
    stack_.push_back(&values_.emplace_back(PickleValue{std::move(value)}));
  }

  PickleValue* pop() {
    PickleValue* const value = top();
    stack_.pop_back();
    return value;
  }

  PickleValue* top() const {
    expect(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "a value on the stack", "none");
    return stack_.back();
  }

  std::vector<PickleRef> pop_last(std::size_t count) {
    expect(stack_.size() - (marks_.empty() ? 0 : marks_.back()) >= count, "more values on the stack",
           "too few");
    const std::vector<PickleRef> last(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return last;
  }

  std::vector<PickleRef> pop_to_mark() {
    expect(!marks_.empty(), "a mark", "none");
    std::vector<PickleRef> last = pop_last(stack_.size() - marks_.back());
    marks_.pop_back();
    return last;
  }

  bool constant(PickleCode code) {
    switch (code) {
      case PickleCode::protocol:
        return expect(cursor_.number<std::uint8_t>("a protocol") <= 5, "a protocol of up to 5",
                      "a later one"),
               true;
      case PickleCode::none:
        return push(PickleNone{}), true;
      case PickleCode::new_true:
      case PickleCode::new_false:
        return push(code == PickleCode::new_true), true;
      case PickleCode::int32:
        return push(std::int64_t{cursor_.number<std::int32_t>("an integer")}), true;
      case PickleCode::uint8:
        return push(std::int64_t{cursor_.number<std::uint8_t>("an integer")}), true;
      case PickleCode::uint16:
        return push(std::int64_t{cursor_.number<std::uint16_t>("an integer")}), true;
      case PickleCode::long1:
        return long_integer(), true;
      case PickleCode::float64: {
        std::array<std::byte, 8> bytes;  // big-endian
        std::ranges::reverse_copy(cursor_.take(bytes.size(), "a float"), bytes.begin());
        return push(number_at<double>(bytes.data())), true;
      }
      case PickleCode::text:
        return push(cursor_.text(cursor_.number<std::uint32_t>("a string's size"), "a string")), true;
      case PickleCode::short_bytes:
        return push(cursor_.text(cursor_.number<std::uint8_t>("a string's size"), "a string")), true;
      default:
        return false;
    }
  }

  void long_integer() {
    const auto bytes = cursor_.take(cursor_.number<std::uint8_t>("an integer's size"), "an integer");
    if (bytes.size() > sizeof(std::int64_t)) return push(PickleBigInteger{bytes});
    const bool negative = !bytes.empty() && (std::to_integer<unsigned>(bytes.back()) & 0x80) != 0;
    std::int64_t number = negative ? -1 : 0;
    if (!bytes.empty()) std::memcpy(&number, bytes.data(), bytes.size());
    push(number);
  }

  bool collection(PickleCode code) {
    switch (code) {
      case PickleCode::mark:
        return marks_.push_back(stack_.size()), true;
      case PickleCode::empty_tuple:
        return push(PickleTuple{}), true;
      case PickleCode::empty_list:
        return push(PickleList{}), true;
      case PickleCode::empty_dict:
        return push(PickleDict{}), true;
      case PickleCode::empty_set:
        push(PickleList{});
        return push(PickleSet{pop()}), true;
      case PickleCode::tuple:
        return push(PickleTuple{pop_to_mark()}), true;
      case PickleCode::tuple1:
      case PickleCode::tuple2:
      case PickleCode::tuple3:
        return push(PickleTuple{pop_last(static_cast<std::size_t>(code) - 0x84)}), true;
      case PickleCode::append:
        return append(pop_last(1)), true;
      case PickleCode::appends:
        return append(pop_to_mark()), true;
      case PickleCode::set_item:
        return set_items(pop_last(2)), true;
      case PickleCode::set_items:
        return set_items(pop_to_mark()), true;
      default:
        return false;
    }
  }

  void append(const std::vector<PickleRef>& elements) {
    if (auto* const list = std::get_if<PickleList>(&top()->is))
      list->elements.insert(list->elements.end(), elements.begin(), elements.end());
    else
      add("a list", elements);
  }

  void set_items(const std::vector<PickleRef>& items) {
    expect(items.size() % 2 == 0, "keys and values in turn", "a key without value");
    auto* const dict = std::get_if<PickleDict>(&top()->is);
    if (dict == nullptr) return add("a dict", items);
    for (std::size_t i = 0; i < items.size(); i += 2) {
      if (const auto key = key_of(*items[i]))
        check(dict->places.emplace(*key, dict->items.size()).second, [&] {
          return Error("malformed pickle", where(), "each key once", "'" + to_string(*key) + "' twice");
        });
      dict->items.emplace_back(items[i], items[i + 1]);
    }
  }

  /// What is added to an object of a kind that is not known stays as it is.
  void add(const char* expected, const std::vector<PickleRef>& values) {
    auto* const object = std::get_if<PickleObject>(&top()->is);
    expect(object != nullptr && object->arguments != nullptr, expected, "another value");
    object->added.insert(object->added.end(), values.begin(), values.end());
  }

  bool object(PickleCode code) {
    switch (code) {
      case PickleCode::global: {
        const std::string_view module = cursor_.line("a module's name");
        return push(PickleObject{.module = module, .name = cursor_.line("a name")}), true;
      }
      case PickleCode::reduce:
      case PickleCode::new_object: {
        const auto called = pop_last(2);
        return call(*called[0], *called[1]), true;
      }
      case PickleCode::build: {
        const PickleRef state = pop();
        return build(*top(), state), true;
      }
      case PickleCode::persistent:
        return push(PicklePersistent{pop()}), true;
      default:
        return false;
    }
  }

  void call(const PickleValue& callee, const PickleValue& arguments) {
    const auto* const named = callee.as<PickleObject>();
    if (named == nullptr || named->arguments != nullptr) malformed("a name to be called", "another value");
    const auto* const tuple = arguments.as<PickleTuple>();
    if (tuple == nullptr) malformed("a tuple of arguments", "another value");
    const auto& given = tuple->elements;
    const bool builtin = named->module == "__builtin__" || named->module == "builtins";
    if (named->module == "collections" && named->name == "OrderedDict" && given.empty())
      push(PickleDict{});
    else if (builtin && (named->name == "set" || named->name == "frozenset") && given.size() == 1 &&
             given[0]->as<PickleList>() != nullptr)
      push(PickleSet{given[0]});
    else
      push(PickleObject{.module = named->module, .name = named->name, .arguments = &arguments});
  }

  void build(PickleValue& value, PickleRef state) {
    PickleRef* place = nullptr;
    if (auto* const dict = std::get_if<PickleDict>(&value.is)) place = &dict->state;
    auto* const object = std::get_if<PickleObject>(&value.is);
    if (object != nullptr && object->arguments != nullptr) place = &object->state;
    expect(place != nullptr && *place == nullptr, "an object that has no state yet", "another value");
    *place = state;
  }

  bool memory(PickleCode code) {
    switch (code) {
      case PickleCode::get:
        return recall(cursor_.number<std::uint8_t>("a memo's number")), true;
      case PickleCode::long_get:
        return recall(cursor_.number<std::uint32_t>("a memo's number")), true;
      case PickleCode::put:
        return memo_[cursor_.number<std::uint8_t>("a memo's number")] = top(), true;
      case PickleCode::long_put:
        return memo_[cursor_.number<std::uint32_t>("a memo's number")] = top(), true;
      default:
        return false;
    }
  }

  void recall(std::uint32_t number) {
    const auto found = memo_.find(number);
    expect(found != memo_.end(), "the number of a memo", "one that was never written");
    stack_.push_back(found->second);
  }

  ByteCursor cursor_;
  std::uint64_t at_ = 0;  ///< where the instruction begins
  std::deque<PickleValue>& values_;
  std::vector<PickleValue*> stack_;
  std::vector<std::size_t> marks_;  ///< heights of the stack
  std::map<std::uint32_t, PickleValue*> memo_;
};

}  // namespace detail

/// The values of a pickle; strings are views of its bytes, which must outlive the tree. `file` stands in
/// errors.
class PickleTree {
 public:
  PickleTree(const std::string& file, std::span<const std::byte> bytes)
      : root_(detail::PickleMachine({file, bytes}, values_).run()) {}
  PickleTree(const PickleTree&) = delete;
  PickleTree& operator=(const PickleTree&) = delete;

  const PickleValue& root() const { return *root_; }

 private:
  std::deque<PickleValue> values_;
  PickleRef root_;
};

}  // namespace hyperblocks
