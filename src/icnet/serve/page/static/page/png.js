/** PNG files of one byte a pixel, written here: no canvas can hold grey alone. */

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const GREY_OF_8_BITS = [8, 0, 0, 0, 0]; // depth, kind of colour, compression, filter, interlace

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let crc = index;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/**
 * Write grey pixels.
 * @param {Uint8Array} pixels row by row
 * @param {number} width
 * @returns {Promise<Blob>}
 */
export async function greyPng(pixels, width) {
  const height = pixels.length / width;
  const rows = new Uint8Array(height * (width + 1)); // each begins with its filter: 0, none
  for (let y = 0; y < height; y += 1) rows.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(packed).arrayBuffer());
  const header = Uint8Array.of(...bigEndian(width), ...bigEndian(height), ...GREY_OF_8_BITS);
  const chunks = [...chunk("IHDR", header), ...chunk("IDAT", data), ...chunk("IEND", new Uint8Array())];
  return new Blob([SIGNATURE, ...chunks], { type: "image/png" });
}

function chunk(name, data) {
  const kind = Uint8Array.from(name, (letter) => letter.charCodeAt(0));
  return [bigEndian(data.length), kind, data, bigEndian(checksum(kind, data))];
}

function checksum(...parts) {
  let crc = 0xffffffff;
  for (const part of parts) {
    for (const byte of part) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  }
  return ~crc;
}

function bigEndian(number) {
  return Uint8Array.of(number >>> 24, number >>> 16, number >>> 8, number);
}
