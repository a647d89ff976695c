/* Shapes and tables that kernels take. Sizes and strides count elements. */

/* A right shift of a negative integer must copy the sign; C leaves that to the compiler. */
typedef char arithmetic_shift_is_needed[((-1) >> 1) == -1 ? 1 : -1];

/* Tables of a requantization, one entry a channel, or one in all with step 0. What a sum of more than acc_bits bits
   becomes: saturated, or wrapped around where acc_wraps is 1; acc_bits is 0 where no sum can be wider. */
typedef struct {
    const uint16_t *multiplier;
    const uint8_t *pre_shift;
    const uint8_t *shift;
    int32_t step, zero, low, high, acc_bits, acc_wraps;
} xi_sym_table;

typedef struct {
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t step, zero, low, high, acc_bits, acc_wraps;
} single_table;

typedef struct {
    const int32_t *multiplier;
    const int8_t *exponent;
    int32_t step, zero, low, high, acc_bits, acc_wraps;
} gemmlowp_table;

typedef struct {
    const int16_t *multiplier;
    const int8_t *shift;
    int32_t step, zero, low, high, acc_bits, acc_wraps;
} tflite_s64_table;

/* M = multiplier * 2^exponent, multiplier of at most 53 bits: a double, taken apart. */
typedef struct {
    const uint64_t *multiplier;
    const int16_t *exponent;
    int32_t step, zero, low, high, acc_bits, acc_wraps;
} tflite_dense_table;

/* What eight channels from `first` on, `used` of them real, make of their sums: see the functions ..._prepare. Each entry stands
   four times, for four pixels. */
typedef struct {
    int32_t first, used;
    int16_t times[8];
} plain_lanes;

typedef struct {
    int16_t factor[32], most[32], half[32], scale[32];
    int32_t first, used, narrow, alone, up, down;
    int16_t times[8];
} xi_sym_lanes;

typedef struct {
    uint32_t factor[32], scale[32];
    int32_t first, used, right;
    int16_t times[8];
} gemmlowp_lanes;

/* A window over pictures [height][width][channels]; pads may be negative. */
typedef struct {
    int32_t in_height, in_width, in_channels;
    int32_t out_height, out_width, out_channels;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x, dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    int32_t groups;
} window;

/* A window over volumes [depth][height][width][channels], axes in this order; pads may be negative. */
typedef struct {
    int32_t in_size[3], in_channels;
    int32_t out_size[3], out_channels;
    int32_t kernel[3], stride[3], dilation[3];
    int32_t pad[3];
    int32_t groups;
} volume;

/* Six nested loops, outermost first; a and b are the strides of the two sides. */
typedef struct {
    int32_t size[6];
    int32_t a[6];
    int32_t b[6];
} nest;

/* Multipliers and exponents of the sums of gates: one for `share` rows that follow each other. */
typedef struct {
    const int32_t *multiplier;
    const int8_t *exponent;
    int32_t share;
} gate_table;

/* An LSTM or GRU of one direction. added: parts of a gate are added before they saturate. bits: integer bits of its cell or state; multiplier .. high: of its output. */
typedef struct {
    int32_t steps, batch, inputs, units;
    int32_t backwards, after, wide, added, zero_x;
    int32_t bits, cell_low, cell_high;
    int32_t multiplier, exponent, zero, low, high;
    int32_t entering_multiplier, entering_exponent;
    int32_t acc_bits, acc_wraps;
} recurrent;
