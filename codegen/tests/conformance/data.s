/* Operands and expected values of all cases, one behind the other. */
    .section .rodata
    .balign 64
    .globl data
data:
    .incbin "data"
    .section .note.GNU-stack, "", %progbits
