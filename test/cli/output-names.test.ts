/** Names of results: kept, told apart, and never two alike on any file system. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nameResults, type Unnamed } from '../../src/cli/output-names.ts';

const job = (name: string, more: Partial<Unnamed> = {}): Unnamed => ({
  input: name,
  name,
  count: 1,
  mask: true,
  ...more,
});
const names = (jobs: readonly Unnamed[], known = new Map<string, string[]>(), kept: readonly string[] = []) =>
  nameResults(jobs, known, kept).map(result => result.name);

describe('results of pictures', () => {
  it('have the names of their pictures, and their extensions where two would meet', () => {
    expect(names([job('a.jpg'), job('b/a.jpeg'), job('noext'), job('.dot')])).toEqual([
      ...['a.png', 'b/a.png', 'noext.png', '.dot.png'],
    ]);
    expect(names([job('x.png'), job('x.jpg'), job('y.png')])).toEqual(['x.png.png', 'x.jpg.png', 'y.png']);
    // Some file systems tell neither case nor composed letters apart.
    expect(names([job('X.png'), job('x.jpg')])).toEqual(['X.png.png', 'x.jpg.png']);
    expect(names([job('\u00e9.png'), job('e\u0301.jpg')])).toEqual(['\u00e9.png.png', 'e\u0301.jpg.png']);
    expect(names([job('a.png'), job('A.png')])).toEqual(['a.png.png', 'A.png-2.png']);
  });

  it('do not meet masks and pictures of others', () => {
    expect(names([job('a.png'), job('a.mask.png')])).toEqual(['a.png', 'a.mask.png.png']);
    expect(names([job('a.png', { count: 2 }), job('a.1.jpg')])).toEqual(['a.png', 'a.1.jpg.png']);
  });

  it('are numbered where one picture is edited several times', () => {
    const twice = [job('a.png'), job('a.png'), job('a.png'), job('a-2.png')];
    expect(names(twice)).toEqual(['a.png', 'a-2.png', 'a-3.png', 'a-2.png.png']);
  });

  it('are found at once where thousands meet', () => {
    const many = Array.from({ length: 20_000 }, (_, i) => job('a.png', { input: `${i}` }));
    expect(names(many).at(-1)).toBe('a-19999.png');
  });

  it('stay what the manifest says they are', () => {
    const known = new Map([['x.png', ['x.png']]]);
    expect(names([job('x.jpg'), job('x.png')], known)).toEqual(['x.jpg.png', 'x.png']);
  });

  it('stay the same in a second call, whatever names lines ask for', () => {
    const one = fc.record({
      name: fc.constantFrom('a.png', 'a.jpg', 'b/a.png', 'a-2.png'),
      output: fc.constantFrom(undefined, undefined, 'plums/a.png', 'a-3.png'),
      mask: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 6 }), all => {
        const asked = new Set<string>();
        const jobs = all.flatMap(({ name, output, mask }, i) => {
          if (output === undefined) return [job(name, { mask })];
          if (asked.has(output)) return [];
          asked.add(output);
          return [job(name, { mask, output, place: `line ${i}` })];
        });
        const first = nameResults(jobs, new Map());
        const known = new Map<string, string[]>();
        for (const [i, { name }] of first.entries()) {
          const { input } = jobs[i] as Unnamed;
          known.set(input, [...(known.get(input) ?? []), name]);
        }
        const kept = first.flatMap(({ files }) => Object.values(files));
        expect(nameResults(jobs, known, kept)).toEqual(first);
      }),
      { seed: 15, numRuns: 300 },
    );
  });

  it('take no name of a picture of an earlier call that is still there', () => {
    const known = new Map([['a/x.png', ['x.png']]]);
    const kept = ['x.png', 'x.mask.png'];
    const other = job('x.png', { input: 'b/x.png' });
    expect(names([other, job('x.mask.jpg')], known, kept)).toEqual(['x.png.png', 'x.mask.jpg.png']);
    expect(names([other, job('x.png', { input: 'a/x.png' })], known, kept)).toEqual(['x.png.png', 'x.png']);
  });

  it('are no files where others have a folder', () => {
    expect(names([job('x.jpg'), job('x.png/b.jpg')])).toEqual(['x.png', 'x.png-2/b.png']);
    expect(names([job('x.png/b.jpg'), job('x.jpg')])).toEqual(['x.png/b.png', 'x.jpg.png']);
    const outputs = ['a.png', 'A.png/b.png'].map((output, i) => job('p', { output, place: `line ${i + 1}` }));
    expect(() => names(outputs)).toThrow(/two lines write the same file.*line 1 and line 2/);
  });

  it('never meet, whatever the pictures are called', () => {
    const part = fc.constantFrom('a', 'A', 'a.mask', 'a.1', 'a-2', 'a.png', 'b', '\u00e9', 'e\u0301');
    const one = fc.record({
      name: fc
        .tuple(fc.constantFrom('', 'a/', 'A/', 'a.png/'), part, fc.constantFrom('.png', '.jpg', ''))
        .map(parts => parts.join('')),
      count: fc.integer({ min: 1, max: 3 }),
      mask: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 12 }), jobs => {
        const files = nameResults(
          jobs.map(each => ({ input: each.name, ...each })),
          new Map(),
        ).flatMap(result => Object.values(result.files).map(file => file.normalize('NFC').toLowerCase()));
        expect(new Set(files).size).toBe(files.length);
        expect(files.filter(file => files.some(other => other.startsWith(`${file}/`)))).toEqual([]);
      }),
      { seed: 15, numRuns: 300 },
    );
  });
});
