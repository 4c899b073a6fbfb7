//! What tests share: a real [moto server](moto::Moto), the [real microsecrets 0.3.4](legacy::Legacy) where a Python 2.7
//! is found, [what it once wrote](golden::Golden), and [machines](machine::Machine) to run programs on.
//!
//! What comes from PyPI and npm is installed once, below `target/`: besides those, what judges
//! [IAM policies](node::Simulator) and [CloudFormation templates](cfn_lint::complaints).

pub mod cfn_lint;
pub mod golden;
pub mod legacy;
pub mod machine;
pub mod moto;
pub mod node;
mod python;
