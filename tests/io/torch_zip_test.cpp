// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// PyTorch's files: the layouts of the public checkpoints, every kind of value and of tensor as torch.save
// writes them (tests/reference/torch_files.py), and files that must be refused.
#include "support/folder.hpp"
#include "support/torch_archive.hpp"

#include <hyperblocks/hyperblocks.hpp>
#include <hyperblocks/io/torch_zip.hpp>
#include <limits>
#include <numeric>

namespace hb = hyperblocks;
using namespace hb::test;
using namespace std::string_literals;
using hb::TorchFile, hb::TorchKind, hb::TorchTensors, hb::TorchValue;

namespace {

TorchFile fixture(const std::string& name) { return TorchFile(HYPERBLOCKS_FIXTURES "/torch/" + name); }

/// A tensor's numbers as float.
std::vector<float> numbers(const hb::TorchTensor& tensor) {
  std::vector<std::byte> room;
  std::vector<float> all(static_cast<std::size_t>(tensor.size()));
  hb::detail::read_numbers(tensor.dtype, hb::row_major(tensor, room), "numbers", std::span(all));
  return all;
}

/// That the tensors' numbers count on, as the script drew them.
void check_counting(const TorchTensors& tensors) {
  float next = 0;
  for (const std::string& name : tensors.names()) {
    CAPTURE(name);
    std::vector<float> expected(static_cast<std::size_t>(tensors.tensor(name).size()));
    std::iota(expected.begin(), expected.end(), next);
    next += static_cast<float>(expected.size());
    std::vector<float> read(expected.size());
    tensors.read<float>(name, tensors.tensor(name).shape, read);
    CHECK(read == expected);
  }
}

std::string error_of(const std::string& bytes) {
  try {
    const auto file = TorchFile::from_bytes("some.file", std::as_bytes(std::span(bytes)));
    if (file.root().is(TorchKind::tensor)) file.root().tensor();
    if (file.root().is(TorchKind::dict)) file.root().tensors();
  } catch (const hb::Error& error) {
    return error.what();
  }
  return "accepted";
}

void check_refused(const std::vector<std::pair<std::string, std::string>>& cases) {
  for (const auto& [bytes, expected] : cases) {
    const std::string message = error_of(bytes);
    CAPTURE(expected);
    CHECK_MESSAGE(message.find(expected) != std::string::npos, message);
    CHECK_MESSAGE(message.find("some.file") != std::string::npos, message);
  }
}

}  // namespace

TEST_CASE("SHINE: a Parameter from a GPU, a state dict with its attributes, dicts by integer and string") {
  const hb::TorchTensor memory = fixture("shine/mem_tokens.pt").root().tensor();
  CHECK(memory.dtype == hb::DType::f32);
  CHECK(memory.shape == std::vector<hb::Index>{3, 2});

  const TorchValue network = fixture("shine/metanetwork.pth").root();
  const TorchTensors tensors = network.tensors();
  CHECK(tensors.names().size() == 14);
  CHECK(tensors.names().front() == "layer_pe");
  CHECK(tensors.names()[2] == "transformer_layers.0.self_attn.in_proj_weight");
  check_counting(tensors);
  const auto state = network.state();
  CHECK((state.has_value() &&
         (*state)["_metadata"]["transformer_layers.0.self_attn"]["version"].as<int>() == 1));

  using Norm = hb::LayerNorm<hb::LayerNormSpec{.width = 2}, double, hb::Cpu>;
  hb::Cpu cpu;
  auto norm = hb::make<Norm::Params>(cpu);
  hb::load(cpu, norm, tensors, "transformer_layers.0.norm2.");
  CHECK(norm.bias.span()[1] == 58.0);
  CHECK_THROWS_WITH_AS(hb::load(cpu, norm, tensors, "nothing."), doctest::Contains("'nothing.weight'"),
                       hb::Error);

  const TorchValue lora = fixture("shine/metalora.pth").root();
  const TorchValue query = lora[1]["attention"]["q"];
  CHECK(query["A"].tensor().shape == std::vector<hb::Index>{1, 2, 3});
  CHECK(query["C"].tensor().shape == std::vector<hb::Index>{1, 2});
  CHECK(lora[1]["mlp"]["down"]["C"].is(TorchKind::none));
  CHECK(lora.tensors().names()[1] == "0.attention.q.B");
  CHECK(query.tensors().names() == std::vector<std::string>{"A", "B", "C"});
  check_counting(lora.tensors());
  CHECK_THROWS_WITH_AS(lora[1]["attention"].tensor(),
                       doctest::Contains("metalora.pth: '1.attention'): expected a tensor, found a dict"),
                       hb::Error);
  CHECK_THROWS_WITH_AS(lora[2], doctest::Contains("'2'): expected one of '0' '1', found '2'"), hb::Error);
  CHECK_THROWS_WITH_AS(lora[1]["attention"]["x"], doctest::Contains("'k' 'o' 'q' 'v', found 'x'"), hb::Error);
  CHECK_FALSE(lora.find(2).has_value());
}

TEST_CASE("Doc-to-LoRA: tensors, and beside them objects of classes that are not there") {
  const TorchFile file = fixture("doc_to_lora/pytorch_model.bin");
  const TorchTensors tensors = file.root().tensors();
  CHECK(tensors.names().size() == 8);
  CHECK(tensors.names()[1] == "_orig_mod.aggregator.perceiver.modality_projection.up_proj.weight");
  CHECK(tensors.tensor(tensors.names()[1]).dtype == hb::DType::bf16);
  check_counting(tensors);
  CHECK(file.root()["base_model_name_or_path"].as<std::string_view>() == "google/gemma-2-2b-it");

  const TorchValue config = file.root()["hypernet_config"];
  CHECK(config.class_name() == "ctx_to_lora.modeling.hypernet.HypernetConfig");
  CHECK(config.arguments().elements().empty());
  CHECK(config["latent_size"].as<std::size_t>() == 512);
  CHECK(config["layer_indices"].tensor().dtype == hb::DType::i64);
  CHECK(config["layer_indices"].tensor().size() == 26);
  CHECK(config["feature_sizes"][1]["down_proj"].as<int>() == 2304);
  CHECK(config["aggregator_config"]["layer_to_layer"].as<bool>());
  const TorchValue lora = config["lora_config"];
  CHECK(lora["target_modules"].as<std::vector<std::string_view>>() ==
        std::vector<std::string_view>{"down_proj"});
  CHECK(lora["peft_type"].class_name() == "peft.utils.peft_types.PeftType");
  CHECK(lora["peft_type"].arguments()[0].as<std::string_view>() == "LORA");
  CHECK(lora["lora_alpha"].as<float>() == 45.25f);
  CHECK(lora["r"].as<double>() == 8.0);
  CHECK(lora["revision"].is(TorchKind::none));
  CHECK_FALSE(lora["runtime_config"]["ephemeral_gpu_offload"].as<bool>());
  CHECK_FALSE(config.find("num_pre_head_layers").has_value());
  CHECK(config.items()[0].first.as<std::string_view>() == "latent_size");
  CHECK(file.root()["ctx_encoder_args"].is(TorchKind::object));
  CHECK_THROWS_WITH_AS(
      file.root()["hypernet_config"].tensors(),
      doctest::Contains("expected a dict, found an object 'ctx_to_lora.modeling.hypernet.HypernetConfig'"),
      hb::Error);
}

TEST_CASE("Text-to-LoRA: names in the file's order") {
  const TorchTensors tensors = fixture("text_to_lora/hypermod.pt").root().tensors();
  check_counting(tensors);
  std::vector<std::string> heads;
  for (const std::string& name : fixture("text_to_lora/hypermod.pt").root().tensors().names())
    if (name.starts_with("heads.") && name.ends_with(".weight")) heads.push_back(name);
  CHECK(heads == std::vector<std::string>{"heads.v_proj.weight", "heads.q_proj.weight"});
  CHECK(tensors.contains("AB_offset.B.q_proj"));
  CHECK(tensors.tensors().size() == 9);
  CHECK(tensors.name().ends_with("hypermod.pt"));
  std::vector<float> room(6);
  CHECK_THROWS_WITH_AS(tensors.read<float>("task_encoder.mlp.0.weight", {3, 2}, room),
                       doctest::Contains("expected (3, 2), found (2, 3)"), hb::Error);
  CHECK_THROWS_WITH_AS(tensors.read<float>("task_encoder.mlp.0.weight", {2, 3}, std::span(room).first(5)),
                       doctest::Contains("expected 6, found room for 5"), hb::Error);
}

TEST_CASE("every kind of value") {
  const TorchValue root = fixture("values.pt").root();
  using Integers = std::vector<std::int64_t>;
  CHECK(root["none"].is(TorchKind::none));
  CHECK(root["booleans"].as<std::vector<bool>>() == std::vector<bool>{true, false});
  CHECK(root["integers"].as<Integers>() ==
        Integers{0, 255, 256, 65535, 65536, -1, 2147483647, -2147483648, 2147483648, -1099511627776});
  CHECK(root["limits"].as<Integers>() ==
        Integers{std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()});
  std::vector<std::string> large;
  for (const TorchValue& value : root["large"].elements()) large.push_back(value.integer_text());
  const std::string googol = "1" + std::string(100, '0');
  CHECK(large == std::vector<std::string>{"9223372036854775808", "-9223372036854775809", googol, "-" + googol,
                                          "1461501637330902918203684832716283019655932542976"});
  CHECK(root["limits"][1].integer_text() == "-9223372036854775808");
  CHECK(root["floats"].as<std::vector<double>>() == std::vector<double>{1.5, -0.0, 1e308});
  CHECK(root["texts"].as<std::vector<std::string_view>>() ==
        std::vector<std::string_view>{"", "a", "\u20ac\n"});
  for (std::int64_t i = 0; i < 5; ++i) {
    CHECK(root["tuples"][i].is(TorchKind::tuple));
    CHECK(root["tuples"][i].elements().size() == static_cast<std::size_t>(i));
  }
  CHECK(root["sets"][0].elements().empty());
  CHECK(root["sets"][1].as<std::vector<int>>() == std::vector<int>{7});
  CHECK(root["sets"][2].is(TorchKind::set));
  CHECK(root["ordered"].items()[0].first.as<std::string_view>() == "z");
  const auto state = root["ordered"].state();
  CHECK((state.has_value() && (*state)["_metadata"]["version"].as<int>() == 1));
  CHECK_FALSE(root["shared"][0].state().has_value());
  CHECK(root["cycle"][1][1][1][1][0].as<int>() == 1);
  CHECK(&root["shared"][0].pickled() == &root["shared"][1].pickled());
  CHECK(root[7].as<std::string_view>() == "seven");
  CHECK(root[-1]["x"].as<std::int64_t>() == 1099511627776);
  CHECK(root[34359738368].items().empty());
  CHECK(root.items()[15].first.is(TorchKind::tuple));
  CHECK(root["object"]["save_freq"].integer_text() == googol);
  CHECK(root["object"].class_name() == "somewhere.Settings");
  CHECK(root["enum"].arguments()[0].as<std::string_view>() == "red");
  CHECK(root["name"].is(TorchKind::name));
  CHECK(root["name"].class_name() == "torch.float32");
  CHECK(root["bytes"].arguments()[0].as<std::string_view>() == "abc");
  CHECK(root["counter"].class_name() == "collections.Counter");
}

TEST_CASE("a value that is asked for as another is an error that shows both") {
  const TorchValue root = fixture("values.pt").root();
  const auto error = [](auto f) -> std::string {
    try {
      f();
    } catch (const hb::Error& thrown) {
      return thrown.where().substr(thrown.where().rfind('/') + 1) + ": " + thrown.expected() + " / " +
             thrown.found();
    }
    return "accepted";
  };
  CHECK(error([&] { root["integers"].as<std::vector<std::int8_t>>(); }) ==
        "values.pt: 'integers.1': an integer of -128 to 127 / an integer 255");
  CHECK(error([&] {
          root["integers"][5].as<std::size_t>();
        }).ends_with("18446744073709551615 / an integer -1"));
  CHECK(error([&] { root["large"][0].as<std::int64_t>(); }).ends_with("an integer 9223372036854775808"));
  CHECK(error([&] { root["none"].as<bool>(); }) == "values.pt: 'none': True or False / None");
  CHECK(error([&] { root["booleans"][0].as<int>(); }).ends_with(" / a boolean"));
  CHECK(error([&] { root["floats"][0].as<int>(); }).ends_with(" / a float"));
  CHECK(error([&] { root["texts"][0].as<double>(); }) == "values.pt: 'texts.0': a number / a string");
  CHECK(error([&] { root.as<std::string_view>(); }) == "values.pt: a string / a dict");
  CHECK(error([&] { root["name"].arguments(); }) == "values.pt: 'name': an object / a name 'torch.float32'");
  CHECK(error([&] { root["none"].class_name(); }) == "values.pt: 'none': an object / None");
  CHECK(error([&] { root["none"].elements(); }) == "values.pt: 'none': a list, tuple or set / None");
  CHECK(error([&] { root["texts"].items(); }) == "values.pt: 'texts': a dict or an object's fields / a list");
  CHECK(error([&] { root["texts"]["x"]; }) == "values.pt: 'texts': a dict or an object's fields / a list");
  CHECK(error([&] { root["texts"][3]; }) == "values.pt: 'texts.3': one of none / '3'");
  CHECK(error([&] { root["texts"].tensors(); }) == "values.pt: 'texts': a dict / a list");
}

TEST_CASE("tensors of every type, strided in every way, wrapped in every kind") {
  const TorchValue root = fixture("tensors.pt").root();
  const std::vector<std::pair<std::string, hb::DType>> dtypes = {
      {"f64", hb::DType::f64},     {"f32", hb::DType::f32}, {"f16", hb::DType::f16},
      {"bf16", hb::DType::bf16},   {"i64", hb::DType::i64}, {"i32", hb::DType::i32},
      {"i16", hb::DType::i16},     {"i8", hb::DType::i8},   {"u8", hb::DType::u8},
      {"bool", hb::DType::boolean}};
  const TorchTensors typed = root["dtypes"].tensors();
  for (const auto& [name, dtype] : dtypes) CHECK(typed.tensor(name).dtype == dtype);
  const auto read = [&]<class T>(const std::string& name, T) {
    std::vector<T> three(3);
    typed.read<T>(name, {3}, three);
    CHECK(three == std::vector<T>{1, 0, 3});
  };
  read("f64", 0.0), read("f32", 0.0), read("f16", 0.0f), read("bf16", 0.0f);
  read("i64", std::int64_t{}), read("i32", std::int32_t{}), read("i16", std::int16_t{});
  read("i8", std::int8_t{}), read("u8", std::uint8_t{});
  std::array<bool, 3> three{};
  typed.read<bool>("bool", {3}, std::span<bool>(three));
  CHECK(three == std::array<bool, 3>{true, false, true});
  std::vector<float> real(3);
  CHECK_THROWS_WITH_AS(typed.read<float>("i8", {3}, real), doctest::Contains("found I8"), hb::Error);

  const TorchValue views = root["views"];
  const std::vector<std::pair<std::string, std::vector<float>>> expected = {
      {"matrix", {0, 1, 2, 3, 4, 5}},
      {"transposed", {0, 3, 1, 4, 2, 5}},
      {"row", {3, 4, 5}},
      {"column", {1, 4}},
      {"scalar", {5}},
      {"steps", {1, 3, 5}},
      {"empty", {}},
      {"empty_rows", {}},
      {"end", {}}};
  for (const auto& [name, all] : expected) {
    CAPTURE(name);
    CHECK(numbers(views[name].tensor()) == all);
  }
  CHECK(views["transposed"].tensor().shape == std::vector<hb::Index>{3, 2});
  CHECK(views["empty_rows"].tensor().shape == std::vector<hb::Index>{2, 0, 3});
  CHECK(views["scalar"].tensor().shape.empty());
  CHECK_FALSE(views["column"].tensor().contiguous());
  std::vector<float> swapped(12), cube(12);
  for (std::size_t i = 0; i < 12; ++i) {  // of (2, 3, 2), the last axis put first; the numbers from 12 on
    const std::size_t first = i / 6, rest = i % 6;
    cube[i] = static_cast<float>(12 + first + 2 * rest);
  }
  views.tensors().read<float>("swapped", {2, 2, 3}, swapped);
  CHECK(swapped == cube);
  std::vector<float> repeated(12);
  views.tensors().read<float>("expanded", {4, 3}, repeated);
  CHECK(repeated == std::vector<float>{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2});
  CHECK_THROWS_WITH_AS(numbers(views["expanded"].tensor()),
                       doctest::Contains("at most the 6 of its storage, found (4, 3)"), hb::Error);

  const TorchTensors kinds = root["kinds"].tensors();
  CHECK(numbers(kinds.tensor("parameter")) == numbers(kinds.tensor("tied")));
  CHECK(kinds.tensor("parameter").bytes.data() == kinds.tensor("tied").bytes.data());
  CHECK(numbers(kinds.tensor("buffer")) == std::vector<float>{24, 25});
  CHECK(kinds.tensor("attributed").size() == 2);
  CHECK_THROWS_WITH_AS(root["strange"]["complex"].tensor(),
                       doctest::Contains("'strange.complex'): expected a storage: Double Float Half BFloat16 "
                                         "Long Int Short Char Byte Bool, found 'torch.ComplexFloatStorage'"),
                       hb::Error);
  CHECK_THROWS_WITH_AS(root["strange"]["negated"].tensor(), doctest::Contains("some to be negated"),
                       hb::Error);
  CHECK_THROWS_WITH_AS(root["strange"]["meta"].tensor(),
                       doctest::Contains("found an object 'torch._utils._rebuild_meta_tensor_no_storage'"),
                       hb::Error);
}

TEST_CASE("values outlive the file; other programs' archives and 64-bit entries are read") {
  const auto value = [] { return fixture("shine/metalora.pth").root()[0]["attention"]; }();
  CHECK(value["q"]["A"].tensor().shape.size() == 3);
  CHECK(fixture("zipped.pt").root().tensor().shape == std::vector<hb::Index>{3, 2});
  CHECK(fixture("zipped.pt").owner() != nullptr);
  CHECK(fixture("zipped.pt").name().ends_with("zipped.pt"));
  CHECK(fixture("shine/metalora.pth").root().tensors().owner() != nullptr);
  const std::string tensor = "\x80\2" + pickled_tensor(pickled_storage(6), 0, {2, 3}, {3, 1}) + ".";
  REQUIRE(error_of(torch_file(tensor)) == "accepted");
  CHECK(error_of(zip_of({{"a/data.pkl", tensor, true}, {"a/data/0", std::string(24, '\0'), true}})) ==
        "accepted");
  CHECK_THROWS_WITH_AS(fixture("bare.pt"), doctest::Contains("found a bare pickle, as before PyTorch 1.6"),
                       hb::Error);
  CHECK_THROWS_WITH_AS(fixture("none.pt"), doctest::Contains("No such file"), hb::Error);
}

TEST_CASE("malformed archives are refused with the file and what is wrong") {
  const std::string good = torch_file("\x80\2N.");
  REQUIRE(error_of(good) == "accepted");
  const std::size_t end = good.size() - 22, directory = good.find("PK\1\2"),
                    storage = good.rfind("a/data/0") - 46;
  const std::string wide = contents(HYPERBLOCKS_FIXTURES "/torch/shine/mem_tokens.pt");
  const std::size_t wide_end = wide.size() - 98;
  const auto two = [](std::uint64_t number) { return bytes_of(number, 2); };
  const auto four = [](std::uint64_t number) { return bytes_of(number, 4); };
  const auto eight = [](std::uint64_t number) { return bytes_of(number, 8); };
  const std::string all_in_extra = zip_of({{"a/data.pkl", "N.", true}});
  check_refused({
      {"", "truncated file, or no zip archive"},
      {good.substr(0, good.size() - 1), "a zip archive's end record"},
      {good.substr(0, good.size() / 2), "a zip archive's end record"},
      {wide.substr(0, wide.size() / 2), "a zip archive's end record"},
      {std::string(257, '\0') + "ustar" + std::string(500, '\0'), "found a tar archive"},
      {"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", "torch.save(torch.load(old), new)"},
      {"version https://git-lfs.github.com/spec/v1\n", "Git LFS"},
      {patched(good, end + 20, two(5)) + "notes", "end record in the last 22 bytes"},
      {patched(good, end + 10, two(9)), "an entry of the directory"},
      {patched(good, end + 10, two(2)), "bytes that belong to no entry"},
      {patched(good, end + 12, four(1)), "ends where the end records begin"},
      {patched(good, end + 16, four(0xffffffff)), "ends where the end records begin"},
      {patched(wide, wide_end, "XXXX"), "a ZIP64 end record"},
      {patched(wide, wide.size() - 34, eight(std::uint64_t{1} << 63)), "a ZIP64 end record"},
      {patched(wide, wide_end + 48, eight(~std::uint64_t{0})), "ends where the end records begin"},
      {patched(wide, wide_end + 32, eight(~std::uint64_t{0})), "truncated file"},
      {patched(good, directory, "XXXX"), "an entry of the directory"},
      {patched(good, storage + 8, two(1)), "'a/data/0'): expected one that is not encrypted"},
      {patched(good, storage + 10, two(8)), "'a/data/0'): expected bytes stored as they are"},
      {patched(good, storage + 20, four(23)), "24 bytes in 23"},
      {patched(good, storage + 20, four(0x7fffffff) + four(0x7fffffff)), "2147483647 bytes of an entry"},
      {patched(good, storage + 28, two(60000)), "truncated file"},
      {patched(good, storage + 42, four(0)), "its header at offset 0"},
      {patched(good, storage + 42, four(0x7fffffff)), "offset 2147483647"},
      {patched(good, good.find("a/data/0") - 30, "XXXX"), "its header at offset"},
      {patched(good, good.find("a/data/0"), "a/data/1"), "its header at offset"},
      {patched(good, good.find("a/data/0") - 2, two(0xffff)), "bytes of an extra field"},
      {patched(good, storage + 20, four(40) + four(40)), "entries that overlap"},
      {zip_of({{"a/data.pkl", "N."}, {"a/x", ""}, {"a/x", ""}}), "each name once"},
      {zip_of({{"a/data.pkl", "N."}, {"b/data.pkl", "N."}}), "2 of them in 2 entries"},
      {zip_of({{"data.pkl", "N."}, {"a/b/data.pkl", "N."}}), "0 of them in 2 entries"},
      {zip_of({}), "0 of them in 0 entries"},
      {zip_of({{"a/data.pkl", "N."}, {"a/byteorder", "big"}}), "'a/byteorder'): expected little, found big"},
      {zip_of({{"a/data.pkl", "N."}, {"a/byteorder", "middle"}}), "found another word"},
      {patched(all_in_extra, all_in_extra.rfind("\1\0\x18"s) + 2, two(8)), "ZIP64 size or place"},
      {patched(all_in_extra, all_in_extra.rfind("\1\0\x18"s) + 2, two(999)), "bytes of an extra field"},
  });
}

TEST_CASE("malformed pickles are refused with the offset and what is wrong") {
  const auto refused = [](const std::string& pickle, const std::string& expected) {
    return std::pair(torch_file(pickle), expected);
  };
  const std::string dict = "}(" + pickled("x") + "K\1";
  REQUIRE(error_of(torch_file(dict + "u.")) == "accepted");
  REQUIRE(error_of(torch_file("\x8f.")) == "accepted");
  REQUIRE(error_of(torch_file("U\3abc.")) == "accepted");
  REQUIRE(error_of(torch_file(")r\1\0\0\0j\1\0\0\0\x86."s)) == "accepted");
  check_refused({
      refused("", "a/data.pkl: offset 0): expected 1 bytes of an instruction"),
      refused("\x80\2N", "a/data.pkl: offset 3"),
      refused("\x80\2\x95",
              "offset 2): expected one of pickle protocol 2, which torch.save uses unless told "
              "otherwise, found 0x95"),
      refused("N\x0c", "found 0x0c"),
      refused("\x80\6N.", "a protocol of up to 5"),
      refused(".", "one value at the end"),
      refused("NN.", "one value at the end"),
      refused("N(.", "one value at the end"),
      refused("N.N", "nothing behind the end"),
      refused("X\xff\xff\xff\xff", "4294967295 bytes of a string"),
      refused("\x8a\xff\1", "255 bytes of an integer"),
      refused("G\1", "8 bytes of a float"),
      refused("cmodule", "a module's name and a newline"),
      refused("cmodule\nname", "a name and a newline"),
      refused("\x85.", "more values on the stack"),
      refused("N(\x85.", "offset 2): expected more values on the stack"),
      refused("t.", "a mark"),
      refused("q\1.", "a value on the stack"),
      refused("h\1.", "one that was never written"),
      refused("Q.", "a value on the stack"),
      refused("NNa.", "expected a list"),
      refused("Nc1\n2\na.", "expected a list"),
      refused("NNNs.", "expected a dict"),
      refused(dict + pickled("y") + "u.", "a key without value"),
      refused(dict + pickled("x") + "K\2u.", "each key once, found 'x' twice"),
      refused("}K\5K\1sJ\5\0\0\0K\2s."s, "each key once, found '5' twice"),
      refused("N)R.", "a name to be called"),
      refused("c1\n2\n)R)R.", "a name to be called"),
      refused("c1\n2\n]R.", "a tuple of arguments"),
      refused("]}b.", "an object that has no state yet"),
      refused("c1\n2\n}b.", "an object that has no state yet"),
      refused("c1\n2\n)\x81}b}b.", "an object that has no state yet"),
      refused("(" + std::string(1 << 22, 'N'), "at most 4194304 instructions"),
  });
}

TEST_CASE("tensors that do not fit their storage are refused by name") {
  const auto refused = [](const std::string& tensor, const std::string& expected) {
    return std::pair(torch_file("}" + pickled("x") + "}" + pickled("y") + tensor + "ss."), expected);
  };
  const auto tensor = [&](std::int64_t offset, const std::vector<std::int64_t>& size,
                          const std::vector<std::int64_t>& strides, const std::string& more = "") {
    return pickled_tensor(pickled_storage(6), offset, size, strides, more);
  };
  constexpr std::int64_t large = std::int64_t{1} << 62;
  for (const auto& good :
       {tensor(0, {2, 3}, {3, 1}), tensor(5, {}, {}), tensor(5, {1, 7}, {large, 0}),
        tensor(6, {0, large / 4}, {1, 1}), tensor(0, {6}, {1}, "N"), tensor(1, {3}, {2}, "}")})
    REQUIRE(error_of(refused(good, "").first) == "accepted");
  check_refused({
      refused(tensor(0, {7}, {1}),
              "'x.y'): expected numbers within the storage's 6, found offset 0, size (7)"),
      refused(tensor(0, {2, 3}, {4, 1}), "numbers within the storage's 6"),
      refused(tensor(2, {3}, {2}), "numbers within the storage's 6"),
      refused(tensor(6, {}, {}), "numbers within the storage's 6"),
      refused(tensor(7, {0}, {1}), "numbers within the storage's 6"),
      refused(tensor(large, {1}, {1}), "numbers within the storage's 6"),
      refused(tensor(0, {2, 2}, {large, large}), "numbers within the storage's 6"),
      refused(tensor(0, {3, 3}, {large, large}), "numbers within the storage's 6"),
      refused(tensor(0, {large, 4}, {0, 0}), "at most 2^63 - 1 bytes"),
      refused(tensor(0, {large, 0, large}, {0, 0, 0}), "at most 2^63 - 1 bytes"),
      refused(tensor(-1, {1}, {1}), "an offset of zero or more, found -1"),
      refused(tensor(0, {-1}, {1}), "a size of zero or more, found -1"),
      refused(tensor(0, {2}, {-1}), "strides of zero or more, found -1"),
      refused(tensor(0, {2}, {1, 1}), "a stride for each extent"),
      refused(tensor(0, std::vector<std::int64_t>(65, 1), {}), "a tuple of up to 64, found 65"),
      refused(tensor(0, {6}, {1}, "}" + pickled("neg") + "\x88s"), "some to be negated"),
      refused(tensor(0, {6}, {1}, "K\1"), "some to be negated"),
      {torch_file("}(" + pickled("x.y") + tensor(0, {6}, {1}) + pickled("x") + "}" + pickled("y") +
                  tensor(0, {6}, {1}) + "su."),
       "'x.y'): expected one, found another"},
      refused("})" + tensor(0, {6}, {1}) + "s", "'x.y'): expected keys that are strings or integers"),
      refused(pickled_tensor(pickled_storage(7), 0, {1}, {1}), "'a/data/0' of 7 numbers F32, found 24 bytes"),
      refused(pickled_tensor(pickled_storage(4, "DoubleStorage"), 0, {1}, {1}), "found 24 bytes"),
      refused(pickled_tensor(pickled_storage(large), 0, {1}, {1}), "found 24 bytes"),
      refused(pickled_tensor(pickled_storage(-1), 0, {1}, {1}), "a storage's size of zero or more"),
      refused(pickled_tensor(pickled_storage(1, "FloatStorage", "9"), 0, {1}, {1}), "'a/data/9'"),
      refused(pickled_tensor(pickled_storage(1, "OddStorage"), 0, {1}, {1}), "found 'torch.OddStorage'"),
      refused(pickled_tensor("N", 0, {1}, {1}), "expected a storage"),
      refused(pickled_tensor("(NNNNNtQ", 0, {1}, {1}), "a storage's type and key"),
      refused(pickled_name("torch._utils", "_rebuild_tensor") + "(NtR", "fewer arguments"),
  });
}

TEST_CASE("values that are shared without end take neither time nor memory without end") {
  const auto memo = [](char instruction, std::uint64_t number) { return instruction + bytes_of(number, 4); };
  std::string twice = "}(" + pickled("0") + "}" + memo('r', 0);  // each dict holds the one before twice
  for (std::uint64_t i = 0; i < 40; ++i)
    twice += pickled(std::to_string(i + 1)) + "}(" + pickled("a") + memo('j', i) + pickled("b") +
             memo('j', i) + "u" + memo('r', i + 1);
  std::string wide = "}(";  // 2000 x 2000 x 2000 entries
  for (std::uint64_t level = 0; level < 3; ++level) {
    wide += pickled(std::to_string(level)) + "}(";
    for (std::uint64_t key = 0; key < 2000; ++key)
      wide.append("M").append(bytes_of(key, 2)).append(level == 0 ? "N" : memo('j', level - 1));
    wide += "u" + memo('r', level);
  }
  check_refused({
      {torch_file("}q\1" + pickled("x") + "h\1s."), "a depth of at most 64"},
      {torch_file(twice + "u."), "too many names"},
      {torch_file(wide + "u."), "too many names"},
  });
  const std::string nested = ")" + std::string(1000000, '\x85') + ".";
  CHECK(error_of(torch_file(nested)) == "accepted");
  std::string wrapped;
  for (int i = 0; i < 10; ++i) wrapped += pickled_name("torch._utils", "_rebuild_parameter");
  wrapped += pickled_tensor(pickled_storage(6), 0, {6}, {1});
  for (int i = 0; i < 10; ++i) wrapped += "\x85R";
  const std::string file = torch_file(wrapped + ".");
  CHECK(TorchFile::from_bytes("x", std::as_bytes(std::span(file))).root().is(TorchKind::object));
}
