// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// PyTorch's files (.pt .pth .bin: a zip archive around a pickle) as inert data: a tree of dicts, lists,
// numbers, strings, tensors, and objects that stay names and fields. The file is mapped; nothing of it is
// executed, and nothing copied until a tensor's numbers are asked for.
//   const TorchFile file("metalora.pth");
//   file.root()[3]["attention"]["q"]["A"].tensor().shape;     // errors name '3.attention.q.A'
//   load(cpu, params, TorchFile("metanetwork.pth").root().tensors());
#pragma once

#include <memory>
#include <optional>

#include <hyperblocks/io/mapped_file.hpp>
#include <hyperblocks/io/torch_tensor.hpp>

namespace hyperblocks {

/// What a value is. An object's fields are known, not what it does; a name is that of a class or function.
enum class TorchKind {
  none,
  boolean,
  integer,
  real,
  string,
  list,
  tuple,
  set,
  dict,
  tensor,
  object,
  name,
  storage
};

constexpr std::string_view name(TorchKind kind) {
  constexpr std::string_view names[] = {"None",      "a boolean", "an integer", "a float", "a string",
                                        "a list",    "a tuple",   "a set",      "a dict",  "a tensor",
                                        "an object", "a name",    "a storage"};
  return names[static_cast<std::size_t>(kind)];
}

/// A value of the file and the way to it. It stays valid when the TorchFile is gone.
class TorchValue {
 public:
  TorchKind kind() const {
    using enum TorchKind;
    if (detail::tensor_arguments(*value_) != nullptr) return tensor;
    constexpr TorchKind kinds[] = {none, boolean, integer, integer, real,   string,
                                   list, tuple,   set,     dict,    object, storage};
    const TorchKind kind = kinds[value_->is.index()];
    return kind == object && value_->as<PickleObject>()->arguments == nullptr ? TorchKind::name : kind;
  }
  bool is(TorchKind kind) const { return this->kind() == kind; }

  /// "file: 'layers.3.weight'"
  std::string where() const { return path_.empty() ? archive_->file : detail::place(archive_->file, path_); }

  /// As bool, an integer type, a floating-point type or std::string_view; an Error if the value is of another
  /// kind or does not fit.
  template <class T>
  T as() const {
    if constexpr (std::same_as<T, bool> || std::same_as<T, std::string_view>) {
      if (const T* const found = value_->as<T>()) return *found;
    } else if constexpr (std::integral<T>) {
      if (const auto* const found = value_->as<std::int64_t>(); found != nullptr && std::in_range<T>(*found))
        return static_cast<T>(*found);
    } else {
      static_assert(std::floating_point<T>,
                    "hyperblocks: a value of a file is read as bool, a number, a std::string_view or a "
                    "std::vector of these");
      if (const auto* const found = value_->as<double>()) return static_cast<T>(*found);
      if (const auto* const found = value_->as<std::int64_t>()) return static_cast<T>(*found);
    }
    throw another_kind(expected<T>());
  }

  /// The elements of a list, tuple or set as a std::vector of these.
  template <class T>
  requires detail::is_vector<T> T as()
  const {
    T all;
    for (const TorchValue& element : elements()) all.push_back(element.as<typename T::value_type>());
    return all;
  }

  /// An integer of any size, in decimal.
  std::string integer_text() const {
    if (const auto* const number = value_->as<PickleBigInteger>()) return to_string(*number);
    return std::to_string(as<std::int64_t>());
  }

  /// The value of a key: of a dict, of an object's fields, of a list's or tuple's places.
  TorchValue operator[](PickleKey key) const {
    if (auto value = find(key)) return *std::move(value);
    std::string keys;
    if (const PickleDict* const dict = fields())
      for (const auto& [known, place] : dict->places)
        if (keys.size() < 200) keys += " '" + detail::shown(detail::to_string(known)) + "'";
    throw Error("no such key", child(key, *value_).where(), "one of" + (keys.empty() ? " none" : keys),
                "'" + detail::shown(detail::to_string(key)) + "'");
  }

  /// The same, or nothing if there is no such key.
  std::optional<TorchValue> find(PickleKey key) const {
    if (const PickleDict* const dict = fields()) {
      const auto place = dict->places.find(key);
      if (place == dict->places.end()) return std::nullopt;
      return child(key, *dict->items[place->second].second);
    }
    const auto* const index = std::get_if<std::int64_t>(&key);
    check(index != nullptr, [&] { return another_kind("a dict or an object's fields"); });
    const auto& all = sequence();
    if (*index < 0 || static_cast<std::uint64_t>(*index) >= all.size()) return std::nullopt;
    return child(key, *all[static_cast<std::size_t>(*index)]);
  }

  /// Keys and values of a dict or of an object's fields, in the file's order.
  std::vector<std::pair<TorchValue, TorchValue>> items() const {
    const PickleDict* const dict = fields();
    check(dict != nullptr, [&] { return another_kind("a dict or an object's fields"); });
    std::vector<std::pair<TorchValue, TorchValue>> all;
    all.reserve(dict->items.size());
    for (const auto& [key, value] : dict->items)
      all.emplace_back(TorchValue(archive_, *key, path_),
                       child(detail::key_of(*key).value_or(std::string_view("?")), *value));
    return all;
  }

  /// The elements of a list, tuple or set.
  std::vector<TorchValue> elements() const {
    std::vector<TorchValue> all;
    const auto& found = sequence();
    all.reserve(found.size());
    for (std::size_t i = 0; i < found.size(); ++i)
      all.push_back(child(static_cast<std::int64_t>(i), *found[i]));
    return all;
  }

  /// "collections.abc.Name" of an object's class, or of a name.
  std::string class_name() const {
    const PickleObject& found = object();
    return std::string(found.module) + "." + std::string(found.name);
  }

  /// A tuple: what an object's class was called with.
  TorchValue arguments() const {
    const PickleObject& found = object();
    check(found.arguments != nullptr, [&] { return another_kind("an object"); });
    return {archive_, *found.arguments, path_};
  }

  /// What an object or an OrderedDict was given besides (`_metadata`), if it was.
  std::optional<TorchValue> state() const {
    const auto* const dict = value_->as<PickleDict>();
    const PickleRef state = dict != nullptr ? dict->state : object().state;
    if (state == nullptr) return std::nullopt;
    return TorchValue(archive_, *state, path_);
  }

  /// Also of a Parameter.
  TorchTensor tensor() const {
    const PickleTuple* const arguments = detail::tensor_arguments(*value_);
    check(arguments != nullptr, [&] { return another_kind("a tensor"); });
    return detail::TorchTensorReader(*archive_, where()).read(*arguments);
  }

  /// All tensors in a dict and the dicts within it.
  TorchTensors tensors() const {
    const auto* const dict = value_->as<PickleDict>();
    check(dict != nullptr, [&] { return another_kind("a dict"); });
    TorchTensors all(archive_, where());
    all.collect(*dict, "", 1);
    return all;
  }

  /// The value as the pickle has it.
  const PickleValue& pickled() const { return *value_; }

 private:
  friend class TorchFile;
  using Archive = std::shared_ptr<const detail::TorchArchive>;

  TorchValue(Archive archive, const PickleValue& value, std::string path)
      : archive_(std::move(archive)), value_(&value), path_(std::move(path)) {}

  TorchValue child(const PickleKey& key, const PickleValue& value) const {
    return {archive_, value, detail::joined(path_, detail::shown(detail::to_string(key)))};
  }

  Error another_kind(const std::string& expected) const {
    std::string found(hyperblocks::name(kind()));
    if (const auto* const known = value_->as<PickleObject>(); known != nullptr && !is(TorchKind::tensor))
      found += " '" + std::string(known->module) + "." + std::string(known->name) + "'";
    if (is(TorchKind::integer)) found += " " + integer_text();
    return Error("another kind of value", where(), expected, found);
  }

  template <class T>
  static std::string expected() {
    if constexpr (std::same_as<T, bool>) return "True or False";
    if constexpr (std::same_as<T, std::string_view>) return "a string";
    if constexpr (std::floating_point<T>) return "a number";
    if constexpr (std::integral<T>)
      return "an integer of " + std::to_string(std::numeric_limits<T>::min()) + " to " +
             std::to_string(std::numeric_limits<T>::max());
  }

  const PickleObject& object() const {
    const auto* const found = value_->as<PickleObject>();
    check(found != nullptr, [&] { return another_kind("an object"); });
    return *found;
  }

  /// A dict, or the one that an object's fields are.
  const PickleDict* fields() const {
    const auto* const known = value_->as<PickleObject>();
    if (known == nullptr) return value_->as<PickleDict>();
    return known->state == nullptr ? nullptr : known->state->as<PickleDict>();
  }

  const std::vector<PickleRef>& sequence() const {
    if (const auto* const list = value_->as<PickleList>()) return list->elements;
    if (const auto* const tuple = value_->as<PickleTuple>()) return tuple->elements;
    const auto* const set = value_->as<PickleSet>();
    check(set != nullptr, [&] { return another_kind("a list, tuple or set"); });
    return set->elements->as<PickleList>()->elements;
  }

  Archive archive_;
  PickleRef value_;
  std::string path_;
};

class TorchFile {
 public:
  explicit TorchFile(const std::filesystem::path& path) {
    const MappedFile mapped(path);
    archive_ = std::make_shared<detail::TorchArchive>(path.string(), mapped.bytes(), mapped.owner());
  }

  /// The same from bytes in memory, which must outlive the object and its values; `name` stands in errors.
  static TorchFile from_bytes(std::string name, std::span<const std::byte> bytes) {
    return TorchFile(std::make_shared<detail::TorchArchive>(std::move(name), bytes, nullptr));
  }

  const std::string& name() const { return archive_->file; }
  TorchValue root() const { return {archive_, archive_->tree->root(), ""}; }
  /// Keeps the bytes of strings and tensors alive beyond this object's life.
  std::shared_ptr<const void> owner() const { return archive_->owner; }

 private:
  explicit TorchFile(std::shared_ptr<const detail::TorchArchive> archive) : archive_(std::move(archive)) {}

  std::shared_ptr<const detail::TorchArchive> archive_;
};

}  // namespace hyperblocks
