/** The charts of a benchmark's file: what they show, to whom, and that they are the same bytes each time. */
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { parseBench } from '../../bench/schema.ts';
import { bars } from '../../bench/svg/bars.ts';
import { errorWords, fewWords, percent, rowWords, threeDigits } from '../../bench/svg/chart-data.ts';
import { chartsOf } from '../../bench/svg/charts.ts';
import { LogAxis } from '../../bench/svg/log-axis.ts';
import { placeLabels, spreadOut, touches } from '../../bench/svg/place-labels.ts';
import { roofline } from '../../bench/svg/roofline.ts';
import { BENCH_FIXTURE } from '../support/bench-file.ts';

const alone = { ...BENCH_FIXTURE, peers: [] };
/** Words, in their order. */
const texts = (svg: string): string[] => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(m => m[1]);
/** An attribute of all elements of a class. */
const numbers = (svg: string, tag: string, className: string, name: string): number[] =>
  [...svg.matchAll(new RegExp(`<${tag}[^>]*class="${className}"[^>]*>`, 'g'))].map(m =>
    Number(new RegExp(` ${name}="([^"]*)"`).exec(m[0])?.[1]),
  );

it('draws from what the schema allows', () => {
  expect(parseBench(JSON.stringify(BENCH_FIXTURE))).toEqual(BENCH_FIXTURE);
});

describe.each([
  ['roofline', roofline],
  ['bars', bars],
] as const)('%s', (name, draw) => {
  it.each([860, 340])(
    'is an image with title and description, the same bytes each time, %d pixels wide',
    async width => {
      const svg = draw(BENCH_FIXTURE, { width });
      expect(svg).toBe(draw(structuredClone(BENCH_FIXTURE), { width }));
      expect(svg).toMatch(new RegExp(`role="img" aria-labelledby="${name}-title ${name}-description"`));
      expect(svg).toContain(`<title id="${name}-title">`);
      expect(svg).toMatch(new RegExp(`<desc id="${name}-description">[^<]{100,}</desc>`));
      // Well-formed, and with something on it.
      const { width: wide, height } = await sharp(Buffer.from(svg)).metadata();
      expect([wide, Math.round(height ?? 0)]).toEqual([width, Math.round(Number(/height="([\d.]+)"/.exec(svg)?.[1]))]);
    },
  );

  it('has colours for light and dark, and escapes what names hold', () => {
    const svg = draw(alone);
    expect(svg).toContain('@media (prefers-color-scheme:dark)');
    expect(svg).toContain('&lt;&amp;&quot;&gt;');
    expect(svg).not.toMatch(/NaN|undefined|null|Infinity/);
  });

  it('brings no style and no paper into a page, whose policy would refuse them', () => {
    expect(draw(BENCH_FIXTURE, { inPage: true })).not.toMatch(/<style|style=|class="paper"/);
  });

  it('is drawn before there are rows', () => {
    expect(draw({ ...alone, rows: [] })).not.toMatch(/NaN|Infinity/);
  });
});

it('puts each row at its intensity and speed below the ceilings, and wrong ones nowhere', () => {
  const svg = roofline(BENCH_FIXTURE);
  const [x, y] = ['cx', 'cy'].map(name => numbers(svg, 'circle', 'mark product', name));
  // Three products, and the key of the legend.
  expect(x).toHaveLength(4);
  expect(x[0]).toBeLessThan(x[1]);
  expect(y[2]).toBeLessThan(y[0]);
  const roof = Number(/class="roof" d="M[\d.]+ [\d.]+L[\d.]+ ([\d.]+)"/.exec(svg)?.[1]);
  expect(Math.min(...y)).toBeGreaterThan(roof);
  expect(numbers(svg, 'circle', 'mark attention', 'cx')).toHaveLength(2);
  expect(texts(svg)).toContain('wrong: 0.31');
  expect(texts(svg)).toEqual(expect.arrayContaining(['80.0 GFLOP/s', '75.0 GFLOP/s', '10.0 GB/s, memory']));
  // A row that reaches its ceiling stands on the line.
  const [only] = alone.rows;
  const full = roofline({ ...alone, rows: [{ ...only, gflops: 80, share: 1 }] });
  const [at] = numbers(full, 'circle', 'mark product', 'cy');
  expect(at).toBeCloseTo(Number(/class="roof" d="M[\d.]+ [\d.]+L[\d.]+ ([\d.]+)"/.exec(full)?.[1]), 0);
});

it('draws bars as long as engines are fast, says by how much ours is behind, and what is wrong or missing', () => {
  const svg = bars(BENCH_FIXTURE);
  const ours = numbers(svg, 'rect', 'engine-0', 'width');
  const onnx = numbers(svg, 'rect', 'engine-1', 'width');
  // One of eight of ours is wrong, and one is not the first.
  expect(ours).toHaveLength(7);
  expect(ours[0] / onnx[0]).toBeCloseTo(4, 1);
  expect(ours[4] / ours[0]).toBeCloseTo(0.8, 2);
  const said = texts(svg);
  expect(said).toContain('2.50 ms, 25 % behind jax-js');
  expect(said).toEqual(expect.arrayContaining(['wrong: error 0.31', 'wrong: error 0.42', 'no such operation']));
  expect(said.filter(text => / × ours$/.test(text)).length).toBe(7 + 5 + 7);
  expect(said.join(' ')).toContain('onnxruntime 1.2.3, tfjs 1.2.3, jax-js 1.2.3');
});

it('without peers draws shares of the ceilings', () => {
  const said = texts(bars(alone));
  expect(said).toContain('Speed beside the ceiling');
  expect(said.filter(text => /^\d+(\.\d)? %, /.test(text))).toHaveLength(9);
});

it('writes files by their names', () => {
  expect(Object.keys(chartsOf(BENCH_FIXTURE))).toEqual(['roofline.svg', 'bars.svg']);
  expect(chartsOf(BENCH_FIXTURE)['bars.svg'].endsWith('</svg>\n')).toBe(true);
});

it('places numbers beside points, never on each other', () => {
  const points = Array.from({ length: 60 }, (_, i) => ({
    x: 100 + (i % 7) * 9,
    y: 100 + Math.floor(i / 7) * 6,
    width: 16,
  }));
  const marks = points.map(({ x, y }) => ({ x, y, width: 12, height: 12 }));
  const within = { x: 200, y: 200, width: 400, height: 400 };
  const placed = placeLabels(points, 12, marks, [], within);
  const pairs = placed.flatMap((a, i) => [...placed.slice(i + 1), ...marks].filter(b => touches(a, b)));
  expect(pairs).toEqual([]);
  expect(spreadOut([10, 11, 50], 20, 0, 100)).toEqual([10, 30, 50]);
  expect(spreadOut([95, 96], 20, 0, 100)).toEqual([80, 100]);
});

it('writes ticks, numbers, shares, errors and names in few letters', () => {
  expect(new LogAxis([0.4, 700], 0, 1).ticks(2, 6)).toEqual([1, 4, 16, 64, 256]);
  expect(new LogAxis([0.4, 30], 0, 1).ticks(10, 8)).toEqual([0.5, 1, 2, 5, 10, 20]);
  expect([0, 0.0123, 0.6, 1, 12.34, 123.4, 99.97].map(threeDigits)).toEqual([
    '0',
    '0.012',
    '0.60',
    '1.00',
    '12.3',
    '123',
    '100',
  ]);
  expect([0.012, 0.5, 1.2].map(percent)).toEqual(['1.2 %', '50 %', '120 %']);
  expect([4.2e-7, 0.314, null].map(errorWords)).toEqual(['4e-7', '0.31', 'not a number']);
  const names = [
    'matmul 512x64x32 weights f16-packed activations f32',
    'attention 9 tokens x 2 heads x 8 activations f32',
  ];
  expect(names.map(name => fewWords({ name }))[1]).toBe('attention 9, 2×8 f32');
  expect(names.map(name => rowWords({ name }))).toEqual([
    'matmul 512×64×32 f16 · f32',
    'attention 9 tokens × 2 heads × 8 f32',
  ]);
});
