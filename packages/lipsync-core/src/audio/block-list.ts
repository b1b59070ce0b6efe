/** Rows of numbers that arrive one by one. */
export interface BlockList {
  readonly rowCount: number;
  append(row: Float32Array): void;
  /** The first `count` rows in one array. */
  join(count: number): Float32Array;
}

const rowsPerBlock = 4096;

/** Grows by blocks of fixed size, so that adding a row never copies what is there already. */
export function createBlockList(rowLength: number): BlockList {
  const blocks: Float32Array[] = [];
  let rowCount = 0;
  return {
    get rowCount() {
      return rowCount;
    },
    append(row) {
      const place = rowCount % rowsPerBlock;
      if (place === 0) blocks.push(new Float32Array(rowsPerBlock * rowLength));
      blocks.at(-1)?.set(row, place * rowLength);
      rowCount += 1;
    },
    join(count) {
      const joined = new Float32Array(count * rowLength);
      blocks.forEach((block, index) => {
        const start = index * block.length;
        if (start < joined.length) joined.set(block.subarray(0, Math.min(block.length, joined.length - start)), start);
      });
      return joined;
    },
  };
}
