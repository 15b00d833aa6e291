/** Rows, families and differences of runs of the laboratory, on pipelines that are told of here. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CompiledPipeline } from '../../../bench/lab/absent-card.ts';
import { compare } from '../../../bench/lab/against.ts';
import { cardOf } from '../../../bench/lab/cards.ts';
import { type LabResults, readResults, writeResults } from '../../../bench/lab/results.ts';
import { familyOf, type LabRow, rowOf, variantOf } from '../../../bench/lab/rows.ts';
import { familyTable, pipelineTable } from '../../../bench/lab/table.ts';
import { weigh } from '../../../bench/lab/weigh.ts';

function pipeline(part: Partial<CompiledPipeline>): CompiledPipeline {
  const none = { id: 1, label: 'gemm-tile', code: '', subgroupSize: 64, statistics: {}, listing: undefined };
  return { ...none, dispatches: 1, workgroups: 10, ...part };
}

/** A loop of `fma` multiply-adds and `more` other instructions of the vector unit. */
function listing(fma: number, more: number): string {
  const lines = '\tv_fmac_f32_e32 v0, v1, v2\n'.repeat(fma) + '\tv_mov_b32_e32 v0, v1\n'.repeat(more);
  return `BB1:\n\tbuffer_load_dword v9, v8, s[0:3], 0 offen\n\ts_waitcnt vmcnt(0)\n${lines}\ts_cbranch_scc1 BB1\n`;
}

function navi21(part: Partial<CompiledPipeline>): LabRow {
  return rowOf(cardOf('navi21'), pipeline(part)).row;
}

describe('a row', () => {
  it('names storage types and constants that are not those of the file', () => {
    const file = 'alias Input4 = vec4f;\nalias Weight4 = vec4f;\nconst CONV: bool = false;\nconst ROWS: u32 = 64;\n';
    const code = 'alias Input4 = vec4<f16>;\nalias Weight4 = vec2u;\nconst CONV: bool = true;\nconst ROWS: u32 = 64;\n';
    expect(variantOf(code, file)).toBe('I:f16 W:f16x2 CONV=true');
  });

  it.each([
    ['gemm-tile', 'I:f16 GEGLU=true', 'GEMM'],
    ['gemm-tile', 'I:f16 CONV=true', 'conv'],
    ['conv-matrix', '', 'conv'],
    ['attention-tile', 'BLOCKS=4u', 'attention'],
    ['gemv-tile', '', 'GEMV'],
    ['softmax-tile', '', 'other'],
  ])('%s %s is of the family %s', (kernel, variant, family) => expect(familyOf(kernel, variant)).toBe(family));

  it.each([
    ['navi31', { VGPRs: 96, SGPRs: 128, 'Spilled VGPRs': 2, 'Spilled SGPRs': 1, 'LDS size': 8192 }, [96, 3, 0, 8192]],
    [
      'ampere',
      { 'Number of GPRs': 72, 'Spills to memory': 4, 'Spills to reg': 1, 'SLM size': 128 },
      [72, 5, 128, undefined],
    ],
    ['m1', { GPRs: 87, Spills: 289, Scratch: 512, Threads: 384 }, [87, 289, 512, undefined]],
    ['adreno740', { 'Registers used': 12, 'STP Count': 6 }, [12, 6, 0, undefined]],
  ] as const)('says the same of %s under the same names', (card, statistics, facts) => {
    const { registers, spills, scratch, lds } = rowOf(cardOf(card), pipeline({ statistics })).row;
    expect([registers, spills, scratch, lds]).toEqual(facts);
  });
});

describe('families', () => {
  const rows = [
    navi21({ listing: listing(90, 10), dispatches: 3, workgroups: 30 }),
    navi21({ listing: listing(50, 50), dispatches: 1, workgroups: 90, statistics: { 'Spilled VGPRs': 7 } }),
    navi21({ label: 'attention-tile', listing: listing(60, 40) }),
  ];

  it('are means that are weighed by dispatches', () => {
    const [gemm, attention, ...rest] = weigh(rows);
    expect(rest).toEqual([]);
    expect(gemm).toMatchObject({
      family: 'GEMM',
      pipelines: 2,
      dispatches: 4,
      spills: 7,
      shares: [0.5, 0.9],
      trips: 1,
    });
    expect(gemm.share).toBeCloseTo(0.8);
    expect(gemm.shareByWorkgroups).toBeCloseTo(0.6);
    expect(attention).toMatchObject({ family: 'attention', share: 0.6 });
  });

  it('count files that nothing dispatches alike', () => {
    expect(weigh(rows.slice(0, 2).map(row => ({ ...row, dispatches: 0 })))[0].share).toBeCloseTo(0.7);
  });

  it('stand under the table of pipelines', () => {
    const lines = pipelineTable(rows).split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[1]).toMatch(/gemm-tile .* 90 issue/);
    expect(familyTable(weigh(rows)).split('\n')[1]).toMatch(/^GEMM +2 +4 +7 .* 80 +50-90 /);
  });
});

describe('--against', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'pentimento-lab-test-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function results(rows: readonly LabRow[], part: Partial<LabResults> = {}): LabResults {
    const head = { card: 'navi21', driver: 'radv: Mesa 25.0.7', mesa: '25.0.7', version: '0.4.0', dtype: 'float16' };
    const rest = { size: 768, networks: ['sd'], wave: undefined, toggles: [], families: weigh(rows), rows };
    return { ...head, ...rest, ...part };
  }

  /** As they come back from a file. */
  function kept(all: LabResults): LabResults {
    const path = join(folder, 'lab.json');
    writeFileSync(path, writeResults(all));
    return readResults(path);
  }

  const same = navi21({ label: 'copy', listing: listing(33, 1), dispatches: 7 });
  const old = navi21({ listing: listing(90, 10), statistics: { VGPRs: 96 } });

  it('says nothing of what is as before', () => {
    expect(compare(kept(results([same, old])), results([same, old])).split('\n')).toEqual([
      '2 of 2 pipelines as before',
      '',
      'GEMM   as before',
      'other  as before',
    ]);
  });

  it('has a line for each pipeline that is other, new or gone, and one for each family', () => {
    const now = navi21({ listing: listing(95, 5), statistics: { VGPRs: 84 }, dispatches: 2, workgroups: 20 });
    const gone = navi21({ label: 'softmax-tile', statistics: { VGPRs: 24 } });
    const fresh = navi21({ label: 'top-k', statistics: { VGPRs: 12 } });
    const before = kept(results([same, old, gone]));
    expect(compare(before, results([same, now, fresh], { size: 512 }))).toMatchInlineSnapshot(`
      "size: 768 -> 512
        gemm-tile: registers 96 -> 84, fma 90 -> 95, peak % 90 -> 95, pass % 90 -> 95, dispatches 1 -> 2, workgroups 10 -> 20
      + top-k: wave 64, registers 12, spills 0, scratch 0, dispatches 1, workgroups 10
      - softmax-tile: wave 64, registers 24, spills 0, scratch 0, dispatches 1, workgroups 10
      1 of 3 pipelines as before

      GEMM   dispatches 1 -> 2, peak % 90 -> 95, pass % 90 -> 95, peak % by workgroups 90 -> 95
      other  as before"
    `);
  });

  it('tells pipelines apart that are called alike', () => {
    const now = navi21({ listing: listing(60, 40), statistics: { VGPRs: 96 } });
    const text = compare(kept(results([old, old])), results([old, now]));
    expect(text).toContain('gemm-tile (2): fma 90 -> 60');
    expect(text).toContain('1 of 2 pipelines as before');
  });

  it('keeps a line for each row', () => {
    const lines = writeResults(results([same, old])).split('\n');
    expect(lines.filter(line => line.includes('"kernel":'))).toHaveLength(2);
  });

  it('refuses a file that is not there, and one that is something else', () => {
    const path = join(folder, 'x.json');
    expect(() => readResults(path)).toThrow(`--against: there is no file ${path}`);
    for (const text of ['{"rows": 3}', 'rows']) {
      writeFileSync(path, text);
      expect(() => readResults(path)).toThrow(`--against: ${path} was not written by the laboratory`);
    }
  });
});
