// Calls the tagger as a C++ framework would: a class that owns a session, an event loop, a session a thread.
//
// Returns 0 where everything is as tagger.h says. The scores that it compares with are ONNX Runtime's, from
// assets/io/hls4ml_mlp_trained/case0.
#include "tagger.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using Jet = std::array<float, TAGGER_INPUTS>;
using Scores = std::array<float, TAGGER_CLASSES>;

/// A session and its memory: what a framework's module would hold.
class Tagger {
public:
    Tagger() : memory_(tagger_bytes()) { check(tagger_create(memory_.data(), memory_.size(), &session_)); }
    ~Tagger() { tagger_destroy(session_); }
    Tagger(const Tagger &) = delete;
    Tagger &operator=(const Tagger &) = delete;

    std::vector<Scores> operator()(const std::vector<Jet> &jets) {
        std::vector<Scores> scores(jets.size());
        for (std::size_t first = 0; first < jets.size(); first += TAGGER_MOST_JETS) {
            const std::size_t rest = jets.size() - first;
            const std::size_t count = rest < TAGGER_MOST_JETS ? rest : std::size_t{TAGGER_MOST_JETS};
            check(tagger_infer(session_, jets[first].data(), count, scores[first].data()));
        }
        return scores;
    }

private:
    static void check(tagger_status status) {
        if (status != TAGGER_OK) throw std::runtime_error("tagger: status " + std::to_string(status));
    }

    std::vector<unsigned char> memory_;
    tagger *session_ = nullptr;
};

static void demand(bool holds, const char *what) {
    if (!holds) {
        std::fprintf(stderr, "failed: %s\n", what);
        std::exit(1);
    }
}

static const Jet JET = {{-0.330260545f, 1.05533791f, 1.11096311f, 1.15566814f, 1.08938289f, 1.15339637f, 1.20462322f, 1.15567493f,
                         0.821133375f, 0.441438138f, -0.204990759f, 1.86329174f, -1.82384813f, -0.780918539f, -0.311911017f, -0.212546036f}};
static const Scores EXPECTED = {{2.25156509e-06f, 2.22108679e-06f, 0.99999547f}};

int main() {
    Tagger tagger;
    const Scores alone = tagger({JET})[0];
    for (int i = 0; i < TAGGER_CLASSES; ++i) demand(std::fabs(alone[i] - EXPECTED[i]) < 1e-4f, "ONNX Runtime's scores");

    // More jets than one call takes: the same bits wherever a jet stands, and those of a lone jet but for the order of sums.
    const std::vector<Scores> batch = tagger(std::vector<Jet>(150, JET));
    for (const Scores &scores : batch) {
        demand(scores == batch[0], "the same scores in a batch");
        for (int i = 0; i < TAGGER_CLASSES; ++i) demand(std::fabs(scores[i] - alone[i]) < 1e-6f, "the scores of a lone jet");
    }
    demand(tagger({}).empty(), "no jets, no scores");

    // A session a thread, nothing shared.
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&alone] {
            Tagger own;
            for (int i = 0; i < 1000; ++i) demand(own({JET})[0] == alone, "the same scores in a thread");
        });
    }
    for (std::thread &thread : threads) thread.join();

    // What is wrong is a status, and the session goes on. The memory may be static, and need not be aligned.
    static unsigned char memory[1 << 17];
    struct tagger *session = nullptr;
    demand(tagger_bytes() + 1 <= sizeof memory, "room");
    demand(tagger_create(memory, tagger_bytes() - 1, &session) == TAGGER_LITTLE_MEMORY && !session, "little memory");
    demand(tagger_create(nullptr, tagger_bytes(), &session) == TAGGER_NULL && !session, "no memory");
    demand(tagger_create(memory + 1, tagger_bytes(), &session) == TAGGER_OK && session, "static memory");
    static const float many[TAGGER_INPUTS * (TAGGER_MOST_JETS + 1)] = {};
    static float scores[TAGGER_CLASSES * (TAGGER_MOST_JETS + 1)];
    demand(tagger_infer(session, many, TAGGER_MOST_JETS + 1, scores) == TAGGER_MANY_JETS, "too many jets");
    demand(tagger_infer(session, nullptr, 1, scores) == TAGGER_NULL, "no jets");
    demand(tagger_infer(session, JET.data(), 1, scores) == TAGGER_OK, "the session goes on");
    for (int i = 0; i < TAGGER_CLASSES; ++i) demand(scores[i] == alone[i], "the same scores in static memory");
    tagger_destroy(session);
    tagger_destroy(nullptr);

    std::printf("%.3f one prong, %.3f two prongs, %.3f three prongs; %zu bytes a session\n", alone[0], alone[1], alone[2],
                tagger_bytes());
    return 0;
}
