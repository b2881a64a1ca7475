"""Which instruction set a library says it uses."""


def faiss_isa() -> str:
    """The widest of the variants that FAISS was built with; it takes the widest that the machine has."""
    import faiss

    variants = faiss.get_compile_options().split()
    return next((v.lower() for v in ("AVX512_SPR", "AVX512", "AVX2") if v in variants), "not told")


def numkong_isa() -> str:
    """NumKong's best capability; a kernel without a variant for it falls back to an older one."""
    import numkong as nk

    return [name for name, present in nk.get_capabilities().items() if present][-1]
