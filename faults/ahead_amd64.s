#include "textflag.h"

// SipHash-2-4 of many messages at once, which differ in one word only. Each lane of
// a register has the state, or the word, of one message; two sets of registers are
// on their way together, so that one computes while the other waits.

DATA lanes<>+0(SB)/8, $0
DATA lanes<>+8(SB)/8, $1
DATA lanes<>+16(SB)/8, $2
DATA lanes<>+24(SB)/8, $3
DATA lanes<>+32(SB)/8, $4
DATA lanes<>+40(SB)/8, $5
DATA lanes<>+48(SB)/8, $6
DATA lanes<>+56(SB)/8, $7
GLOBL lanes<>(SB), RODATA|NOPTR, $64

// rotl16 is the order of bytes that rotates each lane left by 16 bits.
DATA rotl16<>+0(SB)/8, $0x0504030201000706
DATA rotl16<>+8(SB)/8, $0x0d0c0b0a09080f0e
DATA rotl16<>+16(SB)/8, $0x0504030201000706
DATA rotl16<>+24(SB)/8, $0x0d0c0b0a09080f0e
GLOBL rotl16<>(SB), RODATA|NOPTR, $32

// The last word of a message of three, and what is mixed in after it.
#define lengthWord $0x1800000000000000
#define finalXor   $0xff

#define ROUND512(v0, v1, v2, v3) \
	VPADDQ v1, v0, v0  \
	VPADDQ v3, v2, v2  \
	VPROLQ $13, v1, v1 \
	VPROLQ $16, v3, v3 \
	VPXORQ v0, v1, v1  \
	VPXORQ v2, v3, v3  \
	VPROLQ $32, v0, v0 \
	VPADDQ v1, v2, v2  \
	VPADDQ v3, v0, v0  \
	VPROLQ $17, v1, v1 \
	VPROLQ $21, v3, v3 \
	VPXORQ v2, v1, v1  \
	VPXORQ v0, v3, v3  \
	VPROLQ $32, v2, v2

#define ROUNDS512 \
	ROUND512(Z0, Z1, Z2, Z3) \
	ROUND512(Z4, Z5, Z6, Z7) \
	ROUND512(Z0, Z1, Z2, Z3) \
	ROUND512(Z4, Z5, Z6, Z7)

// WORD512 takes in a word, m of the one set and n of the other.
#define WORD512(m, n) \
	VPXORQ m, Z3, Z3 \
	VPXORQ n, Z7, Z7 \
	ROUNDS512        \
	VPXORQ m, Z0, Z0 \
	VPXORQ n, Z4, Z4

// func hits64AVX512(s *sipState, first, j, below uint64) uint64
TEXT ·hits64AVX512(SB), NOSPLIT, $0-40
	MOVQ         s+0(FP), SI
	VPBROADCASTQ 0(SI), Z20
	VPBROADCASTQ 8(SI), Z21
	VPBROADCASTQ 16(SI), Z22
	VPBROADCASTQ 24(SI), Z23
	VPBROADCASTQ first+8(FP), Z10
	VPADDQ       lanes<>(SB), Z10, Z10
	VPBROADCASTQ j+16(FP), Z12
	VPBROADCASTQ below+24(FP), Z14
	MOVQ         lengthWord, AX
	VPBROADCASTQ AX, Z13
	MOVQ         finalXor, AX
	VPBROADCASTQ AX, Z16
	MOVQ         $8, AX
	VPBROADCASTQ AX, Z15
	XORQ         AX, AX
	MOVQ         $4, CX

loop:
	VPADDQ    Z15, Z10, Z11
	VMOVDQA64 Z20, Z0
	VMOVDQA64 Z21, Z1
	VMOVDQA64 Z22, Z2
	VMOVDQA64 Z23, Z3
	VMOVDQA64 Z20, Z4
	VMOVDQA64 Z21, Z5
	VMOVDQA64 Z22, Z6
	VMOVDQA64 Z23, Z7
	WORD512(Z10, Z11)
	WORD512(Z12, Z12)
	WORD512(Z13, Z13)
	VPXORQ    Z16, Z2, Z2
	VPXORQ    Z16, Z6, Z6
	ROUNDS512
	ROUNDS512
	VPXORQ    Z0, Z1, Z0
	VPXORQ    Z4, Z5, Z4
	VPXORQ    Z2, Z3, Z2
	VPXORQ    Z6, Z7, Z6
	VPXORQ    Z0, Z2, Z0
	VPXORQ    Z4, Z6, Z4
	VPCMPUQ   $1, Z14, Z0, K1 // less than
	VPCMPUQ   $1, Z14, Z4, K2
	KMOVB     K1, R8
	KMOVB     K2, R9
	SHLQ      $8, R9
	ORQ       R9, R8
	SHLQ      $48, R8
	SHRQ      $16, AX
	ORQ       R8, AX
	VPADDQ    Z15, Z11, Z10
	DECQ      CX
	JNZ       loop
	VZEROUPPER
	MOVQ      AX, ret+32(FP)
	RET

#define ROUND256(v0, v1, v2, v3, t) \
	VPADDQ  v1, v0, v0    \
	VPADDQ  v3, v2, v2    \
	VPSLLQ  $13, v1, t    \
	VPSRLQ  $51, v1, v1   \
	VPSHUFB Y12, v3, v3   \
	VPXOR   t, v1, v1     \
	VPXOR   v2, v3, v3    \
	VPXOR   v0, v1, v1    \
	VPSHUFD $0xb1, v0, v0 \
	VPADDQ  v1, v2, v2    \
	VPADDQ  v3, v0, v0    \
	VPSLLQ  $17, v1, t    \
	VPSRLQ  $47, v1, v1   \
	VPXOR   t, v1, v1     \
	VPSLLQ  $21, v3, t    \
	VPSRLQ  $43, v3, v3   \
	VPXOR   v2, v1, v1    \
	VPXOR   t, v3, v3     \
	VPSHUFD $0xb1, v2, v2 \
	VPXOR   v0, v3, v3

#define ROUNDS256 \
	ROUND256(Y0, Y1, Y2, Y3, Y8) \
	ROUND256(Y4, Y5, Y6, Y7, Y9) \
	ROUND256(Y0, Y1, Y2, Y3, Y8) \
	ROUND256(Y4, Y5, Y6, Y7, Y9)

#define WORD256(m, n) \
	VPXOR m, Y3, Y3 \
	VPXOR n, Y7, Y7 \
	ROUNDS256       \
	VPXOR m, Y0, Y0 \
	VPXOR n, Y4, Y4

// func hits64AVX2(s *sipState, first, j, below uint64) uint64
TEXT ·hits64AVX2(SB), NOSPLIT, $0-40
	MOVQ         s+0(FP), SI
	VMOVDQU      rotl16<>(SB), Y12
	VPBROADCASTQ first+8(FP), Y10
	VPADDQ       lanes<>(SB), Y10, Y10
	VPCMPEQQ     Y15, Y15, Y15
	VPSLLQ       $63, Y15, Y13        // the sign: there is a comparison of signed numbers only
	VPBROADCASTQ below+24(FP), Y14
	VPXOR        Y13, Y14, Y14
	VPSRLQ       $63, Y15, Y15
	VPSLLQ       $2, Y15, Y15         // 4
	XORQ         AX, AX
	MOVQ         $8, CX

loop:
	VPADDQ       Y15, Y10, Y11
	VPBROADCASTQ 0(SI), Y0
	VPBROADCASTQ 8(SI), Y1
	VPBROADCASTQ 16(SI), Y2
	VPBROADCASTQ 24(SI), Y3
	VMOVDQA      Y0, Y4
	VMOVDQA      Y1, Y5
	VMOVDQA      Y2, Y6
	VMOVDQA      Y3, Y7
	WORD256(Y10, Y11)
	VPADDQ       Y15, Y11, Y10
	VPBROADCASTQ j+16(FP), Y11
	WORD256(Y11, Y11)
	VPCMPEQQ     Y11, Y11, Y11
	VPSLLQ       $62, Y11, Y11
	VPSRLQ       $3, Y11, Y11         // lengthWord
	WORD256(Y11, Y11)
	VPCMPEQQ     Y11, Y11, Y11
	VPSRLQ       $56, Y11, Y11        // finalXor
	VPXOR        Y11, Y2, Y2
	VPXOR        Y11, Y6, Y6
	ROUNDS256
	ROUNDS256
	VPXOR        Y0, Y1, Y0
	VPXOR        Y4, Y5, Y4
	VPXOR        Y2, Y3, Y2
	VPXOR        Y6, Y7, Y6
	VPXOR        Y0, Y2, Y0
	VPXOR        Y4, Y6, Y4
	VPXOR        Y13, Y0, Y0
	VPXOR        Y13, Y4, Y4
	VPCMPGTQ     Y0, Y14, Y0
	VPCMPGTQ     Y4, Y14, Y4
	VMOVMSKPD    Y0, R8
	VMOVMSKPD    Y4, R9
	SHLQ         $4, R9
	ORQ          R9, R8
	SHLQ         $56, R8
	SHRQ         $8, AX
	ORQ          R8, AX
	DECQ         CX
	JNZ          loop
	VZEROUPPER
	MOVQ         AX, ret+32(FP)
	RET
