package faults

func init() {
	if hasAVX512 {
		kernels["AVX-512"] = hits64AVX512
	}
	if hasAVX2 {
		kernels["AVX2"] = hits64AVX2
	}
}
