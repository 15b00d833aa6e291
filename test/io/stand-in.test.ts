import { describe, expect, it } from 'vitest';
import { openSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/sources.ts';
import { STAND_IN_BYTES, standInOf } from '../../src/io/stand-in.ts';
import { openTorchZip } from '../../src/io/torch-zip.ts';

const POINTER = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0\nsize 3438354725\n';
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('a text in place of a binary file', () => {
  it.each([
    ['a pointer of Git LFS', POINTER, /^a Git LFS pointer in place of the file of 3438354725 bytes$/],
    [
      'a pointer of its first days',
      'version https://hawser.github.com/spec/v1\n',
      /^a Git LFS pointer in place of the/,
    ],
    ['a pointer of git-annex', '/annex/objects/SHA256E-s5--2cf24.bin\n', /^a git-annex pointer/],
    ['a page', '<!DOCTYPE html>\n<html lang="en"><head>', /^an HTML page/],
    ['a page behind a comment', '\ufeff  <!-- saved -->\n<HTML>', /^an HTML page/],
    ['a page as XML', '<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml">', /^an HTML page/],
    ['the answer to a stranger', 'Invalid username or password.', /it begins "Invalid username or password\."$/],
    ['an answer in JSON', '{"error":"Entry not found"}', /it begins "\{"error":"Entry not found"\}"$/],
    ['letters beyond ASCII, cut', 'Ошибка'.repeat(60), /it begins "Ошибка/],
  ])('is named: %s', (_, text, problem) => {
    expect(standInOf(bytes(text).subarray(0, STAND_IN_BYTES))?.problem).toMatch(problem);
  });

  it('says how to get the file behind a pointer', () => {
    expect(standInOf(bytes(POINTER))?.fix).toMatch(/`git lfs pull`/);
  });

  it.each([
    ['nothing', []],
    ['a zip file', [0x50, 0x4b, 3, 4, 0, 0]],
    ['a pickle', [0x80, 2, 0x8a, 0x0a]],
    ['a safetensors file', [64, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x22]],
    ['a PNG', [0x89, 0x50, 0x4e, 0x47]],
    ['broken UTF-8', [0x41, 0xff, 0x41, 0x41]],
    ['white space', [0x20, 0x0a]],
  ])('is not seen in %s', (_, head) => {
    expect(standInOf(Uint8Array.from(head))).toBeUndefined();
  });

  it.each([
    ['safetensors', openSafetensors],
    ['torch', openTorchZip],
  ])('is told from a damaged file by the reader of %s', async (op, open) => {
    await expect(open(memorySource(bytes(POINTER), 'unet/x'))).rejects.toThrow(
      `${op}: a Git LFS pointer in place of the file of 3438354725 bytes (unet/x). Run \`git lfs install\` and \`git lfs pull\``,
    );
    await expect(open(memorySource(bytes('Hi!'), 'x'))).rejects.toThrow(/a text in place of the file, it begins "Hi!"/);
    await expect(open(memorySource(bytes('<!doctype html><title>Sign in'), 'x'))).rejects.toThrow(/an HTML page/);
  });
});
