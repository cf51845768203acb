// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// Error says what, where, expected and found; check builds its texts only when something is wrong.
#include <doctest/doctest.h>

#include <hyperblocks/core/check.hpp>
#include <type_traits>

using hyperblocks::Error;

TEST_CASE("an Error keeps its four parts and joins them in one sentence") {
  const Error error("the shapes differ", "ops::add", "(2, 3)", "(3, 2)");
  CHECK(error.problem() == "the shapes differ");
  CHECK(error.where() == "ops::add");
  CHECK(error.expected() == "(2, 3)");
  CHECK(error.found() == "(3, 2)");
  CHECK(std::string(error.what()) ==
        "hyperblocks: the shapes differ (ops::add): expected (2, 3), found (3, 2)");
  static_assert(std::is_base_of_v<std::runtime_error, Error>);
}

TEST_CASE("check throws what it is told to make, and makes nothing when all is well") {
  int made = 0;
  const auto make = [&] {
    ++made;
    return Error("what", "where", "expected", "found");
  };
  hyperblocks::check(true, make);
  CHECK(made == 0);
  CHECK_THROWS_WITH_AS(hyperblocks::check(false, make),
                       "hyperblocks: what (where): expected expected, found found", Error);
  CHECK(made == 1);
}
