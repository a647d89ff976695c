/* Changes of scale and clamps. The output may take the place of the input where their elements have one size. */

/*@ kernel rescale x_t y_t q_t tail */
void rescale(const x_t *x, int32_t count, int32_t zero, const q_t *q, y_t *y)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        y[i] = (y_t)tail((int32_t)x[i] - zero, 0, q);
    }
}

/*@ kernel clamp x_t y_t */
void clamp(const x_t *x, int32_t count, int32_t low, int32_t high, y_t *y)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        const int32_t value = x[i];
        y[i] = (y_t)(value < low ? low : (value > high ? high : value));
    }
}

/*@ kernel lower_channels y_t */
/* Upper limits of the channels: `inner` elements one after the other share one. */
void lower_channels(y_t *y, const y_t *high, int32_t outer, int32_t channels, int32_t inner)
{
    int32_t i, c, k;
    for (i = 0; i < outer; i++) {
        for (c = 0; c < channels; c++) {
            for (k = 0; k < inner; k++, y++) {
                *y = *y > high[c] ? high[c] : *y;
            }
        }
    }
}

/*@ kernel rescale_size x_t y_t q_t tail */
/* The magnitude |x - zero|, rescaled. */
void rescale_size(const x_t *x, int32_t count, int32_t zero, const q_t *q, y_t *y)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        const int32_t value = (int32_t)x[i] - zero;
        y[i] = (y_t)tail(value < 0 ? -value : value, 0, q);
    }
}

/*@ kernel rescale_negated x_t y_t q_t tail */
void rescale_negated(const x_t *x, int32_t count, int32_t zero, const q_t *q, y_t *y)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        y[i] = (y_t)tail(zero - (int32_t)x[i], 0, q);
    }
}

/*@ kernel rescale_above x_t y_t q_t tail */
/* 0 stands for what is not above the threshold. */
void rescale_above(const x_t *x, int32_t count, int32_t zero, int32_t threshold, const q_t *q, y_t *y)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        const int32_t value = (int32_t)x[i] - zero;
        y[i] = (y_t)tail(value > threshold ? value : 0, 0, q);
    }
}
