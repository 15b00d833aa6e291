/** Machine code of three compilers, cut from what they made of the kernels, and what the laboratory reads in it. */
import { describe, expect, it } from 'vitest';
import { boundOf } from '../../../bench/lab/bound.ts';
import { cardOf } from '../../../bench/lab/cards.ts';
import { multiplyAdds } from '../../../bench/lab/listing/counts.ts';
import { readListing } from '../../../bench/lab/listing/read.ts';

/** A tile is loaded in two round trips and stored; a loop of 16 multiplies; ACO for Vega. */
const VEGA = `
BB0:
	s_load_dwordx2 s[4:5], s[2:3], 0x0                          ; c0060101 00000000
	s_mov_b32 s17, 0                                            ; be910080
BB26:
	s_cmp_ge_u32 s17, s24                                       ; bf091811
	s_cbranch_scc1 BB59                                         ; bf85002a
BB29:
	buffer_load_dwordx2 v[48:49], v45, s[40:43], 0 offen        ; e0540000 804a302d
	s_waitcnt vmcnt(0)                                          ; bf8c0f70
	v_cvt_f32_f16_e32 v52, v48                                  ; 7e681730
	buffer_load_dwordx4 v[56:59], v46, s[40:43], 0 offen        ; e05c1000 8002382e
	buffer_load_ushort v60, v46, s[40:43], 0 offen offset:16    ; e0481010 800a3c2e
	s_waitcnt vmcnt(0)                                          ; bf8c0f70
	v_mad_mix_f32 v61, v48, 1.0, neg(0) op_sel_hi:[1,0,0]       ; d3a0403d 8a01e530
	ds_write_b128 v44, v[48:51] offset:4096                     ; d9be1000 0000302c
	s_waitcnt lgkmcnt(0)                                        ; bf8cc07f
	s_barrier                                                   ; bf8a0000
	s_mov_b32 s0, 0                                             ; be800080
BB54:
	s_lshl_b32 s20, s0, 4                                       ; 8e148400
	v_lshlrev_b32_e32 v44, 4, v44                               ; 24585884
	ds_read_b128 v[48:51], v44                                  ; d9fe0000 3000002c
	ds_read2_b32 v[52:53], v44 offset0:16 offset1:32            ; d86e2010 3400002c
	s_add_u32 s0, s0, 1                                         ; 80008100
	s_cmp_ge_u32 s0, 16                                         ; bf099000
	s_waitcnt lgkmcnt(0)                                        ; bf8cc07f
	v_mac_f32_e32 v10, v49, v55                                 ; 2c146f31
	v_mad_mix_f32 v11, v50, v52, v11 op_sel_hi:[1,0,0]          ; d3a0400b 0c2e6932
	v_pk_fma_f16 v12, v50, v52, v12                             ; d38e400c 1c326932
	s_cbranch_scc0 BB54                                         ; bf84ffd0
BB58:
	s_add_u32 s17, s17, 16                                      ; 80119011
	s_branch BB26                                               ; bf82ff2f
BB59:
	s_endpgm                                                    ; bf810000
`;

describe('ACO', () => {
  const listing = readListing('amd', VEGA);

  it('takes the loop with most arithmetic for the main one', () => {
    expect(listing?.loops.map(({ label, times, inner }) => [label, times, inner.length])).toEqual([
      ['BB54', 16, 0],
      ['BB26', undefined, 1],
    ]);
    expect(listing?.main).toMatchObject({
      label: 'BB54',
      own: { instructions: 11, vector: 4, fma: 2, packed: 1, ldsReads: 2, ldsReadBytes: 24, waits: 1, branches: 1 },
    });
  });

  it('counts round trips to memory, and halves that become f32 as conversions', () => {
    expect(listing?.loops[1]?.own).toMatchObject({
      ...{ trips: 2, globalLoads: 3, globalLoadBytes: 8 + 16 + 4, conversions: 2, fma: 0 },
      ...{ ldsWrites: 1, ldsWriteBytes: 16, barriers: 1 },
    });
  });

  it('counts a pass over a tile with its inner loop as often as that is run', () => {
    expect(listing?.pass).toMatchObject({ trips: 2, fma: 32, packed: 16, ldsReadBytes: 16 * 24 });
    expect(listing?.pass?.instructions).toBe(15 + 16 * 11);
  });

  it('counts two instructions that are issued as one, and products of matrices', () => {
    const text = `BB1:
	v_dual_fmac_f32 v4, v8, v12 :: v_dual_mul_f32 v5, v9, v13
	v_wmma_f32_16x16x16_f16 v[8:15], v[92:95], v[112:115], v[8:15]
	ds_load_2addr_b64 v[0:3], v7 offset1:1
	buffer_load_d16_u16 v1, v2, s[0:3], 0 offen
	s_wait_loadcnt_dscnt 0x0
	v_exp_f32_e32 v6, v6
	v_cndmask_b32_e32 v6, 0, v6, vcc_lo
	s_delay_alu instid0(VALU_DEP_1)
	s_cbranch_scc1 BB1
`;
    expect(readListing('amd', text)?.main?.own).toMatchObject({
      ...{ instructions: 8, vector: 4, dual: 1, fma: 1, matrix: 1, matrixFma: 4096, special: 1, selections: 1 },
      ...{ ldsReads: 1, ldsReadBytes: 16, globalLoads: 1, globalLoadBytes: 2, trips: 1 },
    });
  });

  it.each([
    ['for all that was loaded', 's_waitcnt vmcnt(0)', 2],
    ['for the first', 's_waitcnt vmcnt(1)', 2],
    ['for the first, on RDNA 4', 's_wait_loadcnt 0x1', 2],
    ['for all, and for workgroup memory but one', 's_wait_loadcnt_dscnt 0x1', 2],
    ['for none of them', 's_waitcnt vmcnt(2)', 1],
    ['for workgroup memory alone', 's_waitcnt lgkmcnt(0)', 1],
  ])('counts a load that goes out after a wait %s', (_, wait, trips) => {
    const load = '\tbuffer_load_b128 v[0:3], v4, s[0:3], 0 offen\n';
    const text = `BB1:\n${load}${load}\t${wait}\n${load}\ts_cbranch_scc1 BB1\n`;
    expect(readListing('amd', text)?.main?.own).toMatchObject({ globalLoads: 3, trips, queued: trips });
  });

  it('counts no wait for what the pass before left under way', () => {
    const load = '\tbuffer_load_b128 v[0:3], v4, s[0:3], 0 offen\n';
    // Four are under way at the end; the wait in the midst is for those of the pass before.
    const pass = `${load}${load}\ts_waitcnt vmcnt(2)\n${load}${load}`;
    expect(readListing('amd', `BB1:\n${pass}\ts_cbranch_scc1 BB1\n`)?.main?.own.trips).toBe(1);
  });

  it('counts a load that goes out after waits for two of a group once', () => {
    const load = '\tbuffer_load_b128 v[0:3], v4, s[0:3], 0 offen\n';
    const two = `${load}${load}\ts_waitcnt vmcnt(1)\n${load}\ts_waitcnt vmcnt(1)\n${load}`;
    expect(readListing('amd', `BB1:\n${two}\ts_cbranch_scc1 BB1\n`)?.main?.own.trips).toBe(2);
  });

  it('takes the loop of matrix products for the main one, not that of a longer epilogue', () => {
    const text = `BB1:
	v_wmma_f32_16x16x16_f16 v[8:15], v[92:95], v[112:115], v[8:15]
	s_cbranch_scc1 BB1
BB2:
	v_fmac_f32 v4, v8, v12
	v_fmac_f32 v5, v8, v12
	s_cbranch_scc1 BB2
`;
    expect(readListing('amd', text)?.main?.own).toMatchObject({ matrix: 1, fma: 0 });
  });

  it('finds no loop in a program without, and nothing in what is not its own', () => {
    expect(readListing('amd', 'BB0:\n\tv_mov_b32_e32 v0, 1\n\ts_endpgm\n')).toMatchObject({
      ...{ loops: [], main: undefined, pass: undefined },
      whole: { instructions: 1, moves: 1 },
    });
    expect(readListing('amd', 'no disassembly')).toBeUndefined();
    expect(readListing('apple', VEGA)).toBeUndefined();
  });
});

/** NAK for Ampere: two groups of loads, then a loop of 8 steps of 2. */
const AMPERE = `
block.u 0 L0 [] -> {
      ur6      = ldc.b32 c[0x0][+0x0]                              // delay=2 wr:3
} -> [1]
block.u 1 L1 [0, 3] -> {
      r47      = ld.global.a64.constant.u16 [r48..50], p6          // delay=2 rd:0 wr:1
      r48..52  = ld.global.a64.constant.b128 [r48..50], p6         // delay=2 rd:0 wr:2
      r46      = mov r69                                           // delay=1 wt=000010
      r49      = ld.global.a64.constant.b32 [r50..52], p6          // delay=2 wt=000100 rd:0 wr:1
      r50      = f2f.f32.f16 r49                                   // delay=4 wt=000010
                 st.shared.strong.cta.b128 [r1.x16] r52..56        // delay=2 rd:0
                 bar.sync                                          // delay=6 yld
      ur18     = mov rZ                                            // delay=2
} -> [2]
block.u 2 L2 [1, 2] -> {
      r44..48  = ld.shared.strong.cta.b128 [r0.x16], pT            // delay=1 rd:1 wr:2
      r36      = ffma.ftz r44 r52 r36                              // delay=1 wt=000100
      r37      = ffma.ftz r44 r53 r37                              // delay=1
      ur18     = iadd3 ur18 0x2 rZ                                 // delay=1
      up0      = isetp.ge.u32 ur18 0x10                            // delay=4
      r64..68  = hmma.m16n8k16.f32 r96..100 r112..114 r64..68      // delay=1 rd:0 wr:3
                 bra !up0 L2                                       // delay=1
} -> [2, 3]
block 3 L3 [2] -> {
@!p1             bra pT L1                                         // delay=1
} -> [1, 4]
block 4 L4 [3] -> {
                 exit                                              // delay=1
} -> []
`;

describe('NAK', () => {
  const listing = readListing('nvidia', AMPERE);

  it('finds loops by the ways back between blocks', () => {
    expect(listing?.loops.map(({ label, times, inner }) => [label, times, inner.length])).toEqual([
      ['block 2', 8, 0],
      ['block 1', undefined, 1],
    ]);
    expect(listing?.main?.own).toMatchObject({
      ...{
        instructions: 7,
        cycles: 10,
        fma: 2,
        matrix: 1,
        matrixFma: 2048,
        ldsReads: 1,
        ldsReadBytes: 16,
        branches: 1,
      },
    });
  });

  it('counts loads that are waited for before the next as round trips', () => {
    expect(listing?.loops[1]?.own).toMatchObject({
      ...{ trips: 2, globalLoads: 3, globalLoadBytes: 2 + 16 + 4, conversions: 1, ldsWriteBytes: 16, barriers: 1 },
    });
  });

  it('takes a wait for two scoreboards of loads that went out together for one round trip', () => {
    const text = `
block 0 L0 [] -> {
      r0       = mov rZ                                            // delay=1
} -> [1]
block 1 L1 [0, 1] -> {
      r1       = ld.global.a64.constant.b32 [r8..10], p0           // delay=2 rd:0 wr:1
      r10 p0   = iadd3 r11 c[0x1][0x10] rZ                         // delay=1 wt=000001
      r2       = ld.global.a64.constant.b32 [r10..12], p0          // delay=2 rd:0 wr:2
      r3       = f2f.f32.f16.re r1                                 // delay=1 wt=000010 rd:1 wr:3
      r10 p0   = iadd3 r11 c[0x1][0x10] rZ                         // delay=1 wt=000011
      r4       = ld.global.a64.constant.b32 [r10..12], p0          // delay=2 rd:0 wr:1
      r5       = f2f.f32.f16.re r2                                 // delay=1 wt=000100 wr:4
      ur1      = r2ur r20                                          // delay=1 wt=000010 wr:1
      r6       = ld.global.a64.constant.b32 [r10..12], p0          // delay=2 wr:0
                 bra up0 L1                                        // delay=1 wt=111111
} -> [1, 2]
block 2 L2 [1] -> {
                 exit                                              // delay=1
} -> []
`;
    // What asks for no value but for a scoreboard waits in the second chain alone.
    expect(readListing('nvidia', text)?.main?.own).toMatchObject({ globalLoads: 4, trips: 2, queued: 3 });
  });

  it('takes a branch for a wait for all that is under way', () => {
    const load = (register: number) =>
      `      r${register}       = ld.global.a64.constant.b32 [r8..10], p0           // delay=2 wr:1\n`;
    const text = `
block 0 L0 [] -> {
      r0       = mov rZ                                            // delay=1
} -> [1]
block 1 L1 [0, 2] -> {
${load(1)}@!p0             bra pT L2                                         // delay=1 wt=000010
} -> [2, 3]
block 2 L2 [1] -> {
${load(2)}                 bra up0 L1                                        // delay=1 wt=000010
} -> [1, 3]
block 3 L3 [1, 2] -> {
                 exit                                              // delay=1
} -> []
`;
    expect(readListing('nvidia', text)?.main?.own).toMatchObject({ globalLoads: 2, trips: 2, queued: 2 });
  });

  it('counts apart the loads that wait for no value but for the scoreboard of a load before them', () => {
    let register = 10;
    const load = (wait: string, board: number) =>
      `      r${++register}       = ld.global.a64.constant.b32 [r8..10], p0           // delay=2 ${wait} rd:0 wr:${board}\n`;
    const boards = [1, 2, 3, 4, 5].map(board => load('', board)).join('');
    const again = [1, 2, 3, 4, 5].map(board => load(`wt=${(1 << board).toString(2).padStart(6, '0')}`, board)).join('');
    const text = `
block 0 L0 [] -> {
      r0       = mov rZ                                            // delay=1
} -> [1]
block 1 L1 [0, 1] -> {
${boards}${again}                 bra up0 L1                                        // delay=1 wt=111111
} -> [1, 2]
block 2 L2 [1] -> {
                 exit                                              // delay=1
} -> []
`;
    expect(readListing('nvidia', text)?.main?.own).toMatchObject({ globalLoads: 10, trips: 1, queued: 2 });
  });

  it('sums the cycles of a pass', () => {
    expect(listing?.pass).toMatchObject({ cycles: 22 + 8 * 10, fma: 16, matrix: 8 });
    expect(listing?.pass && multiplyAdds(listing.pass, 32)).toBe(16 + 8 * 64);
  });
});

/** ir3 for Adreno 740: two groups of loads of a tile, then a loop of 16 steps. */
const ADRENO = `
Native code for unnamed CL shader (null) with blake3 45c4b275:
; num_ubos:           0
@in(r0.x)	in0 (wrmask=0x7)
shps #l2
l2:
(jp)shl.b r1.w, r0.x, 4
isam.v.base0 (u16)(xyzw)hr42.z, r20.y, s#0, t#1
ldib.b.untyped.1d.u32.2.imm.base0 r1.x, r2.x, 3
(sy)(rpt3)cov.f16f32 r10.w, (last)(r)hr42.z
isam.v.base0 (u16)(xyzw)hr43.z, r20.z, s#0, t#1
(sy)stl.u32 l[r1.w], r0.w, 4
(sy)bar.g
l617:
add.u r51.w, r51.w, 1
cmps.u.ge up0.x, r51.w, 16
(nop3) shl.b r23.z, (last)r23.z, 4
ldl.u32 r0.y, l[r23.y], 4
(rpt1)nop
(ss)mad.f32 r16.w, r0.y, r7.y, (last)r16.w
(rpt1)mad.f32 r15.w, (r)r0.z, r7.y, (last)(r)r15.w
stp.u32 p[r1.x], r0.y, 1
br !up0.x, #l617
(ss)br p0.x, #l2
end
nop
; CL prog 22/1: 1835 instr
`;

describe('ir3', () => {
  const listing = readListing('qualcomm', ADRENO);

  it('finds loops by jumps back to a label', () => {
    expect(listing?.loops.map(({ label, times, inner }) => [label, times, inner.length])).toEqual([
      ['l617', 16, 0],
      ['l2', undefined, 1],
    ]);
  });

  it('counts repetitions as instructions, and rests as cycles', () => {
    expect(listing?.main?.own).toMatchObject({
      ...{ instructions: 9, cycles: 14, fma: 3, ldsReads: 1, ldsReadBytes: 16, scratch: 1, waits: 1, branches: 1 },
    });
  });

  it('counts round trips to memory and the cycles of a pass', () => {
    expect(listing?.loops[1]?.own).toMatchObject({
      ...{ trips: 2, globalLoads: 3, globalLoadBytes: 24, conversions: 4, ldsWriteBytes: 16, barriers: 1, cycles: 11 },
    });
    expect(listing?.pass).toMatchObject({ trips: 2, fma: 48, cycles: 11 + 16 * 14 });
  });
});

describe('the bound', () => {
  const counts = (text: string) => readListing('amd', `BB1:\n${text}\ts_cbranch_scc1 BB1\n`)?.main?.own;
  const fma = '\tv_fmac_f32_e32 v0, v1, v2\n'.repeat(48);

  it.each([
    [
      'instructions of a wave64 that are not multiply-adds',
      'navi21',
      fma + '\tv_mov_b32_e32 v0, v1\n'.repeat(16),
      64,
      0.75,
      'issue',
    ],
    ['a peak that needs two instructions at once', 'navi31', fma, 64, 0.5, 'issue'],
    [
      'two instructions at once',
      'navi31',
      '\tv_dual_fmac_f32 v4, v8, v12 :: v_dual_fmac_f32 v5, v9, v13\n'.repeat(32),
      32,
      1,
      'issue',
    ],
    ['workgroup memory', 'navi21', fma + '\tds_load_b128 v[0:3], v7\n'.repeat(12), 32, 0.5, 'LDS'],
    [
      'the clocks of a matrix product',
      'navi31',
      '\tv_wmma_f32_16x16x16_f16 v[8:15], v[0:3], v[4:7], v[8:15]\n'.repeat(4) + '\tv_mov_b32_e32 v0, v1\n'.repeat(32),
      32,
      0.8,
      'issue',
    ],
  ])('is %s', (_, card, text, lanes, share, by) => {
    const found = counts(text);
    expect(found && boundOf(cardOf(card), found, lanes)).toEqual({ share, by });
  });

  it('is not told for little arithmetic, nor for cards of other rates', () => {
    const found = counts(fma);
    expect(found && boundOf(cardOf('ampere'), found, 32)).toBeUndefined();
    expect(boundOf(cardOf('navi31'), { ...(found ?? never()), fma: 31 }, 32)).toBeUndefined();
  });
});

function never(): never {
  throw new Error('the text has a loop');
}
