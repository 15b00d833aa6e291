import { describe, expect, it } from 'vitest';
import { specialize } from '../../src/gpu/specialize.ts';

const source = `// head
alias Scalar = f32;  // f32 | f16
const SIZE: u32 = 8;
const EPS: f32 = 0.5;
const FLAG: bool = false;
@compute @workgroup_size(SIZE) fn main() {}
`;

describe('specialize', () => {
  it('replaces aliases and constants, keeps lines, appends libraries', () => {
    const text = specialize('k', source, ['fn lib() {}'], { SIZE: 4, EPS: 2, FLAG: true, Scalar: 'i32' });
    expect(text.split('\n').slice(1, 5)).toEqual([
      'alias Scalar = i32;  // f32 | f16',
      'const SIZE: u32 = 4u;',
      'const EPS: f32 = 2.0;',
      'const FLAG: bool = true;',
    ]);
    expect(text.endsWith('fn lib() {}')).toBe(true);
  });

  it('enables f16 on line 1 only where the program itself speaks of it', () => {
    expect(specialize('k', source, [], {}).startsWith('// head')).toBe(true);
    const half = specialize('k', source, [], { Scalar: 'f16' });
    expect(half.startsWith('enable f16; // head')).toBe(true);
    expect(half.split('\n').length).toBe(source.split('\n').length);
  });

  it('refuses a name that is not declared', () => {
    expect(() => specialize('gemm', source, [], { SIZ: 4 })).toThrowErrorMatchingInlineSnapshot(
      `[ShaderError: specialize: 'SIZ' must be declared once by alias or const at the start of a line: expected 1, got 0 (gemm.wgsl). Correct the name in the kernel description or the declaration in the file.]`,
    );
  });

  it('refuses a name that is declared twice', () => {
    expect(() =>
      specialize('gemm', `${source}const SIZE: u32 = 9;\n`, [], { SIZE: 4 }),
    ).toThrowErrorMatchingInlineSnapshot(
      `[ShaderError: specialize: 'SIZE' must be declared once by alias or const at the start of a line: expected 1, got 2 (gemm.wgsl). Correct the name in the kernel description or the declaration in the file.]`,
    );
  });
});
