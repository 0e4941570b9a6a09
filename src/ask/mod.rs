//! Where questions are answered. Whatever answers, the core sees only answers.
//!
//! There is no `Live` asker yet, because no enricher of today asks anything: all of them look into
//! files. A pipeline that names an enricher which asks is refused, as its name is not known.

use crate::enrich::{Answer, Answers, Question};

/// Who answers.
#[derive(Debug, Clone, Default)]
pub enum Asker {
    /// Nobody: every question is refused. For work without a network.
    #[default]
    Silent,
    /// What was recorded; other questions are refused. For tests and replay.
    Recorded(Answers),
}

impl Asker {
    /// An answer to each question.
    pub fn ask(&self, questions: Vec<Question>) -> Answers {
        let refused = |why: &str| Answer::Refused(why.to_owned());
        let answer = |question: &Question| match self {
            Self::Silent => refused("nothing is asked here"),
            Self::Recorded(answers) => {
                answers.get(question).cloned().unwrap_or_else(|| refused("not recorded"))
            }
        };
        questions.into_iter().map(|question| (question.clone(), answer(&question))).collect()
    }
}
