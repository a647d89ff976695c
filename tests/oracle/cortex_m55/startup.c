/* Start of a program on a Cortex-M55 whose input and output go through semihosting; WEIGHTS names the file of constants. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern unsigned char data_start, data_end, bss_start, bss_end, stack_top;
extern const unsigned char data_source;
extern void initialise_monitor_handles(void);
int main(int count, char **words);
void reset(void);

void _fini(void); /* newlib calls it at the end */
void _fini(void)
{
}

static void stuck(void)
{
    exit(99); /* a fault */
}

void reset(void)
{
    static char name[] = "net", weights[] = WEIGHTS;
    static char *words[] = {name, weights, NULL};
    memcpy(&data_start, &data_source, (size_t)(&data_end - &data_start));
    memset(&bss_start, 0, (size_t)(&bss_end - &bss_start));
    initialise_monitor_handles();
    exit(main(2, words));
}

__attribute__((section(".vectors"), used)) static const struct {
    void *stack;
    void (*handlers[15])(void);
} vectors = {&stack_top, {reset, stuck, stuck, stuck, stuck, stuck, stuck, 0, 0, 0, stuck, 0, 0, stuck, stuck}};
