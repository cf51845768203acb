// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Any bytes are either one of PyTorch's files, whose values and tensors can be looked at, or an Error. The
// same bytes as a pickle alone get past the archive's checks.
#include <hyperblocks/io/torch_zip.hpp>

namespace hb = hyperblocks;

namespace {

/// Does something that may be refused.
template <class F>
void attempt(F f) {
  try {
    f();
  } catch (const hb::Error& error) {
    static_cast<void>(error);  // refused, as it should be
  }
}

void read(const hb::TorchTensor& tensor) {
  std::vector<std::byte> room;
  const auto bytes = hb::row_major(tensor, room);
  std::vector<float> values(static_cast<std::size_t>(tensor.size()));
  hb::detail::read_numbers(tensor.dtype, bytes, "input", std::span(values));
}

/// Every value on ways of a few steps; values may hold themselves.
void look(const hb::TorchValue& value, int depth, int& values) {
  if (depth == 0 || --values < 0) return;
  attempt([&] { value.as<bool>(); });
  attempt([&] { value.as<std::int8_t>(); });
  attempt([&] { value.as<double>(); });
  attempt([&] { value.as<std::vector<std::string_view>>(); });
  attempt([&] { value.integer_text(); });
  attempt([&] { value.class_name(); });
  attempt([&] { value["key"]; });
  attempt([&] { value[1]; });
  attempt([&] { read(value.tensor()); });
  attempt([&] {
    for (const auto& [name, tensor] : value.tensors().tensors()) read(tensor);
  });
  attempt([&] {
    if (const auto state = value.state()) look(*state, depth - 1, values);
  });
  attempt([&] { look(value.arguments(), depth - 1, values); });
  attempt([&] {
    for (const auto& [key, item] : value.items()) look(item, depth - 1, values);
  });
  attempt([&] {
    for (const auto& element : value.elements()) look(element, depth - 1, values);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  attempt([&] {
    int values = 50;
    look(hb::TorchFile::from_bytes("input", bytes).root(), 6, values);
  });
  attempt([&] { const hb::PickleTree tree("input", bytes); });
  return 0;
}
