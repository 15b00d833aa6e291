import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, posix, win32 } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkNameFree, safeRelativeName, sameName } from '../../src/node/safe-name.ts';

const SEED = 20261127;

describe('a name that comes with a job', () => {
  it.each(['a', 'a/b', 'Äpfel und Birnen.png', 'a.b-c_d/2026', '.hidden', 'console', 'com10'])('may be %s', name => {
    expect(safeRelativeName('test', name)).toBe(name);
  });

  it.each([
    ...[
      '',
      '/',
      '/etc',
      '..',
      '../a',
      'a/../b',
      'a/..',
      './a',
      'a//b',
      'a/',
      'C:',
      'c:/a',
      'c:a',
      '\\\\host\\a',
      'a\\b',
      'a\0b',
    ],
    ...[
      'a\nb',
      'a ',
      ' a',
      'a.',
      'a/b./c',
      'CON',
      'con.png',
      'a/NUL',
      'aux.tar.gz',
      'COM1',
      'lpt9.txt',
      'COM¹',
      'a:b',
      'a*',
      'a?',
      'a|b',
    ],
    ...['a<b', 'a"b', 'x'.repeat(201), 'ä'.repeat(101), 'a/'.repeat(501)],
  ])('may not be %j', name => {
    expect(() => safeRelativeName('test', name)).toThrow(/^test: /);
  });

  it('stays below its folder on every system, whatever it is', () => {
    const part = fc.oneof(
      fc.constantFrom('..', '.', '', 'C:', 'con', '\\', '%2e%2e', 'a'),
      fc.string({ unit: 'binary', maxLength: 8 }),
    );
    const names = fc
      .array(part, { maxLength: 5 })
      .chain(parts => fc.constantFrom(parts.join('/'), parts.join('\\'), parts.join('')));
    let passed = 0;
    fc.assert(
      fc.property(names, name => {
        let safe: string;
        try {
          safe = safeRelativeName('test', name);
        } catch {
          return;
        }
        passed++;
        for (const [path, root] of [
          [posix, '/results'],
          [win32, 'D:\\results'],
        ] as const) {
          const at = path.resolve(root, safe);
          expect(path.relative(root, at).split(path.sep)[0]).not.toBe('..');
          expect(at.startsWith(root + path.sep)).toBe(true);
        }
      }),
      { seed: SEED, numRuns: 2000 },
    );
    expect(passed).toBeGreaterThan(100);
  });

  it('is put into the composed form', () => {
    expect(safeRelativeName('test', 'A\u0308pfel')).toBe('\u00c4pfel');
  });
});

describe('a folder that holds another spelling', () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'pentimento-names-'));
  });
  afterEach(() => rm(root, { recursive: true }));

  it('refuses names that some file systems take for one, and links', async () => {
    await mkdir(join(root, 'Pears', 'Green'), { recursive: true });
    await symlink('/tmp', join(root, 'link'));
    await expect(checkNameFree(root, 'Pears/Green')).resolves.toBeUndefined();
    await expect(checkNameFree(root, 'apples/red')).resolves.toBeUndefined();
    await expect(checkNameFree(root, 'pears')).rejects.toThrow('differs only by case');
    await expect(checkNameFree(root, 'Pears/GREEN/x')).rejects.toThrow('differs only by case');
    await expect(checkNameFree(root, 'link/x')).rejects.toThrow('a link in place of a name');
    expect([sameName('Straße', 'STRASSE'), sameName('ﬁg', 'fig'), sameName('a', 'b')]).toEqual([true, true, false]);
  });
});
