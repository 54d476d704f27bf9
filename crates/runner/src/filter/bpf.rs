//! Rows of the table to classic BPF over `struct seccomp_data`, and the meaning of each instruction used.
//!
//! One row becomes: is it this call? then each alternative in turn, whose conditions must all hold; the first that
//! holds decides. A call that no row decides is allowed.

use super::table::{Action, Condition, Row, Test};

/// One instruction of classic BPF, shaped as the kernel's `struct sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Class, size and mode.
    pub code: u16,
    /// Instructions to skip when the comparison holds.
    pub jt: u8,
    /// Instructions to skip when it does not.
    pub jf: u8,
    /// Constant operand.
    pub k: u32,
}

/// `A = data[k]`, 32 bits.
pub const LOAD: u16 = 0x20;
/// `A == k`.
pub const EQUAL: u16 = 0x15;
/// `A >= k`.
pub const AT_LEAST: u16 = 0x35;
/// `A & k`.
pub const AND: u16 = 0x54;
/// Decide with `k`.
pub const DECIDE: u16 = 0x06;

/// Offset of `nr` in `struct seccomp_data`.
pub const NUMBER: u32 = 0;
/// Offset of `arch`.
pub const ARCH: u32 = 4;
/// Offset of the first argument; each has 8 bytes.
pub const ARGUMENTS: u32 = 16;

/// The bit that marks calls of the x32 personality.
const X32: u32 = 0x4000_0000;

/// The program for `rows` on the architecture `arch` (an `AUDIT_ARCH_` value).
///
/// Calls of another architecture, and of x32, fail with `ENOSYS`: their numbers mean other calls.
pub fn assemble(arch: u32, rows: &[Row]) -> Vec<Instruction> {
    let unknown = decide(Action::Fail(libc::ENOSYS));
    let mut program = vec![
        load(ARCH),
        jump(EQUAL, arch, 1, 0),
        unknown,
        load(NUMBER),
        jump(AT_LEAST, X32, 0, 1),
        unknown,
    ];
    for row in rows {
        program.extend(assemble_row(row));
    }
    program.push(decide(Action::Allow));
    program
}

fn assemble_row(row: &Row) -> Vec<Instruction> {
    let mut body = Vec::new();
    for alternative in row.when {
        body.extend(assemble_alternative(alternative, row.action));
    }
    body.push(decide(Action::Allow));
    let mut instructions = vec![jump(EQUAL, row.call, 0, distance(body.len()))];
    instructions.extend(body);
    instructions
}

/// Falls through to the instruction behind it when a condition does not hold.
fn assemble_alternative(conditions: &[Condition], action: Action) -> Vec<Instruction> {
    let mut code = vec![decide(action)];
    for condition in conditions.iter().rev() {
        let mut longer = assemble_condition(condition, distance(code.len()));
        longer.extend(code);
        code = longer;
    }
    code
}

/// Falls through when the condition holds, skips `otherwise` instructions behind it when not.
fn assemble_condition(condition: &Condition, otherwise: u8) -> Vec<Instruction> {
    let low = ARGUMENTS + 8 * u32::from(condition.argument);
    match condition.test {
        Test::NotZero => vec![
            load(low),
            jump(EQUAL, 0, 0, 2),
            load(low + 4),
            jump(EQUAL, 0, otherwise, 0),
        ],
        Test::Masked { mask, value } => vec![
            load(low),
            Instruction {
                code: AND,
                jt: 0,
                jf: 0,
                k: mask,
            },
            jump(EQUAL, value, 0, otherwise),
        ],
        Test::NotIn(values) => {
            let mut code = vec![load(low)];
            for (index, value) in values.iter().enumerate() {
                let left = values.len() - 1 - index;
                code.push(jump(EQUAL, *value, otherwise + distance(left), 0));
            }
            code
        }
        Test::In(values) => {
            let mut code = vec![load(low)];
            for (index, value) in values.iter().enumerate() {
                let left = values.len() - 1 - index;
                let on_failure = if left == 0 { otherwise } else { 0 };
                code.push(jump(EQUAL, *value, distance(left), on_failure));
            }
            code
        }
    }
}

fn load(offset: u32) -> Instruction {
    Instruction {
        code: LOAD,
        jt: 0,
        jf: 0,
        k: offset,
    }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn decide(action: Action) -> Instruction {
    Instruction {
        code: DECIDE,
        jt: 0,
        jf: 0,
        k: action.word(),
    }
}

fn distance(instructions: usize) -> u8 {
    u8::try_from(instructions).expect("a row of the table is shorter than a jump reaches")
}
