// Joins the results of group_norm_stats, by Chan, Golub and LeVeque (1979):
// mean = sum(count mean_i) / N; squares = sum(squares_i + count (mean_i - mean)^2).
// Wanted of the includer: p.hw, groups, chunks, rows_per_chunk and eps; CHANNELS; STATISTICS_BINDING.
layout(binding = STATISTICS_BINDING) readonly buffer Partial { float statistics[]; };

// Rows of a chunk.
float chunk_rows(uint chunk) {
    return float(min(p.rows_per_chunk, p.hw - chunk * p.rows_per_chunk));
}

// Mean, and 1 / sqrt(variance + eps), of a group of a sample.
vec2 join(uint sample_, uint group) {
    uint first = (sample_ * p.chunks * p.groups + group) * 2u, step = p.groups * 2u;
    float origin = statistics[first], sum = 0.0, squares = 0.0; // means relative to the first lose less
    for (uint i = 0u; i < p.chunks; i++) sum = fma(chunk_rows(i), statistics[first + i * step] - origin, sum);
    float offset = sum / float(p.hw), size = float(CHANNELS / p.groups);
    for (uint i = 0u; i < p.chunks; i++) {
        float distance_ = statistics[first + i * step] - origin - offset;
        squares += statistics[first + i * step + 1u] + chunk_rows(i) * size * distance_ * distance_;
    }
    return vec2(origin + offset, inversesqrt(squares / (float(p.hw) * size) + p.eps));
}
