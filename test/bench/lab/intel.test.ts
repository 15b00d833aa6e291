/** Intel's cards in the laboratory: their machine code, the steps of kernels, and what stands for a card. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { clocksOf } from '../../../bench/lab/bound.ts';
import { cardOf } from '../../../bench/lab/cards.ts';
import { intelFolder } from '../../../bench/lab/intel-card.ts';
import { noCounts } from '../../../bench/lab/listing/counts.ts';
import { readListing } from '../../../bench/lab/listing/read.ts';
import { stepOf } from '../../../bench/lab/steps.ts';
import type { KernelCall } from '../../../src/kernels/kernel.ts';

/** A loop of 64 passes, lanes in 16, of which one product is for eight of them. */
const LOOP = `mov(16)         g24<1>UD        0x00000000UD                    { align1 1H };

LABEL0:
sync nop(1)                     null<0,1,0>UB                   { align1 WE_all 1N $0.src };
send(16)        g16UD           g14UD           nullUD          0x64200500                0x00000000
                ugm MsgDesc: ( load, a32, d32, V4, L1STATE_L3MOCS dst_len = 8 bti )  BTI 0  base_offset 0  { align1 1H $0 };
send(16)        g50UD           g52UD           nullUD          0x64200500                0x00000000
                slm MsgDesc: ( load, a32, d32, V4, L1STATE_L3MOCS dst_len = 8 flat )  base_offset 0  { align1 1H $2 };
send(16)        nullUD          g52UD           g60UD           0x64200500                0x00000000
                slm MsgDesc: ( store, a32, d32, V2, L1STATE_L3MOCS dst_len = 0 flat )  base_offset 0  { align1 1H $3 };
send(1)         g13UD           g23UD           nullUD          0x6210c500                0x00000000
                ugm MsgDesc: ( load, a32, d32, V16, transpose, L1STATE_L3MOCS dst_len = 1, ss )  surface_state_index 0  { align1 WE_all 1N $1 };
mad(16)         g24<1>F         g24<8,8,1>F     g13.0<0,1,0>F   g16<1,1,1>F { align1 1H @1 $0.dst };
mad(8)          g26<1>F         g26<8,8,1>F     g13.0<0,1,0>F   g17<1,1,1>F { align1 1Q @1 $2.dst };
mov(16)         g30<1>F         g32<16,8,2>HF                   { align1 1H };
math.exp(16)    g34<1>F         g36<8,8,1>F     null<8,8,1>F    { align1 1H };
send(16)        g70UD           g14UD           nullUD          0x64200500                0x00000000
                ugm MsgDesc: ( load, a32, d32, V1, L1STATE_L3MOCS dst_len = 2 bti )  BTI 0  base_offset 0  { align1 1H $4 };
add(16)         g21<1>D         g21<1,1,0>D     1D              { align1 1H compacted };
cmp.ge.f0.0(16) null<1>UD       g21<8,8,1>UD    0x00000040UD    { align1 1H I@2 };
(-f0.0) while(16) JIP:  LABEL0                                  { align1 1H };
`;

describe('machine code of ANV', () => {
  const loop = readListing('intel', LOOP)?.main;

  it('has loops, with products by the lanes that they are for', () => {
    expect(loop).toMatchObject({ label: 'LABEL0', times: 64 });
    expect(loop?.own).toMatchObject({ fma: 1.5, conversions: 1, special: 1, branches: 1, waits: 2 });
  });

  it('has messages to memory of both kinds, and registers that are kept there', () => {
    expect(loop?.own).toMatchObject({ globalLoads: 2, globalLoadBytes: 20, ldsReads: 1, ldsReadBytes: 16 });
    expect(loop?.own).toMatchObject({ ldsWrites: 1, ldsWriteBytes: 8, scratch: 1 });
  });

  it('counts round trips of what is loaded, not of workgroup memory', () => expect(loop?.own.trips).toBe(2));

  it('takes a vector unit as often as its lanes and the sizes of values say', () => {
    const cycles = (line: string) => readListing('intel', `send(1)\n${line}`)?.whole.cycles;
    expect(cycles('mad(16)         g24<1>F         g24<8,8,1>F     g1<0,1,0>F   g16<1,1,1>F { align1 1H };')).toBe(3);
    expect(cycles('mov(16)         g24<1>HF        g24<8,8,1>HF    { align1 1H };')).toBe(2);
    expect(cycles('mov(1)          g24<1>F         g24<0,1,0>F     { align1 1N };')).toBe(2);
  });

  it('reads products of matrices', () => {
    const text =
      'send(1)\ndpas.8x8(16)    g40<1>F         g40<1,1,0>F     g8<1,1,0>HF     g20<1,1,0>HF { align1 1H $1 };';
    expect(readListing('intel', text)?.whole).toMatchObject({ matrix: 1, matrixFma: 8 * 16 * 16 });
  });
});

describe('clocks', () => {
  it('are of the unit that is busy longest', () => {
    const counts = { ...noCounts(), cycles: 100, matrix: 2 };
    expect(clocksOf(cardOf('dg2'), counts, 16)).toBe(132);
    expect(clocksOf(cardOf('bmg'), counts, 16)).toBe(82);
    expect(clocksOf(cardOf('bmg'), { ...counts, ldsReadBytes: 90 }, 16)).toBe(90);
    expect(clocksOf(cardOf('m1'), noCounts(), 32)).toBeUndefined();
    const issued = { ...noCounts(), vector: 50 };
    expect([clocksOf(cardOf('navi21'), issued, 64), clocksOf(cardOf('vega10'), issued, 64)]).toEqual([100, 200]);
  });
});

describe('a step of attention', () => {
  /** Scores in a loop of their own, eight columns of 64 keys a pass; values written out around it. */
  const fma = (count: number) =>
    'mad(16)         g24<1>F         g24<8,8,1>F     g1<0,1,0>F   g16<1,1,1>F\n'.repeat(count);
  const text = `send(16)\nLABEL0:\n${fma(40)}LABEL1:\n${fma(64)}while(16) JIP: LABEL1\nwhile(16) JIP: LABEL0\n`;
  const listing = readListing('intel', text);
  const call = (values: KernelCall['values']) =>
    ({ kernel: 'attention-matrix', params: { head4: 16 }, values }) as unknown as KernelCall;

  it('runs the loop over columns as often as the head is wide', () => {
    const asked = call({ SIDE_M: 8, KEYS: 16, LANES: 16, CHUNK: 64, WIDE: 1, SIDE_N: 5 });
    expect(listing && stepOf(asked, listing, 16)?.fma).toBe(40 + 8 * 64);
  });
});

describe('a card of Intel', () => {
  it('lies in a folder by the paths of the device and of what tells of it', () => {
    const folder = intelFolder('e20b');
    const device = join(folder, 'sys/dev/char/226:128/device');
    expect(existsSync(join(folder, 'dev/dri/renderD128'))).toBe(true);
    expect(readFileSync(join(device, 'device'), 'utf8')).toBe('0xe20b\n');
    expect(readFileSync(join(device, 'uevent'), 'utf8')).toMatch(/^PCI_ID=8086:e20b$/m);
  });
});
