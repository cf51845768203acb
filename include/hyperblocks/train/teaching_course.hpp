// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The hyperblocks authors
// TeachingCourse: what a Trainer makes a hypernetwork learn, where pose(number) gives the topics of a batch.
#pragma once

#include <hyperblocks/train/teaching.hpp>
#include <hyperblocks/train/trainer.hpp>

namespace hyperblocks {

template <class Writer_, class Pose>
struct TeachingCourse {
  using Writer = Writer_;
  using Model = typename Writer::Model;
  using Device = typename Model::Device;
  using Scalar = typename Model::Scalar;
  using Params = typename Writer::Net::Params;
  using Gradients = typename Writer::Net::Gradients;
  using Topics = std::vector<Topic<typename Writer::Document>>;

  const Writer& writer;
  const typename Model::Params& model;
  typename Model::Rotaries rotary;
  Pose pose;
  TeachingOptions options = {};  ///< each batch has noise of its own
  MeanOver mean = MeanOver::lessons;

  Learned learn(Device& device, const Params& params, std::uint64_t number, Gradients& gradients,
                Write write) const {
    Topics topics = pose(number);
    weigh(std::span(topics), mean);
    Index tokens = 0;
    for (const auto& topic : topics)
      for (const Lesson& lesson : topic.lessons) tokens += std::ssize(lesson.ids);
    TeachingOptions own = options;
    own.lessons.seed ^= number;
    const Teaching<Writer> teaching{writer, model, rotary, own};
    return {teaching.learn(device, params, topics, gradients, write), tokens};
  }
};

}  // namespace hyperblocks
